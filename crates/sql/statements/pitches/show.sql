-- name: pitches.show
-- for: where a pitch is in its life, whatever that is, for an operator; nothing of the protected part
-- index: pitches_pkey, users_pkey
-- sample: SELECT id FROM pitches TABLESAMPLE SYSTEM (1) LIMIT 100
SELECT /* pitches.show */ p.id, p.title, p.status, p.visibility, p.created_at, p.updated_at, p.published_at,
       p.archived_at, p.deleted_at, p.version, p.view_count,
       u.id AS creator_id, u.username AS creator_username, u.display_name AS creator_display_name
FROM pitches p
JOIN users u ON u.id = p.creator_id
WHERE p.id = $1
