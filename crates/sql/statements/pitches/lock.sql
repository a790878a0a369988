-- name: pitches.lock
-- for: a pitch in any state, whole, to be changed
-- index: pitches_pkey, users_pkey
-- sample: SELECT id FROM pitches TABLESAMPLE SYSTEM (1) LIMIT 100
SELECT /* pitches.lock */
       p.id, p.title, p.logline, p.synopsis, p.genres, p.format, p.stage, p.release_year, p.cast_members,
       p.visibility, p.full_synopsis, p.budget_minor, p.budget_currency, p.cover_media_id, p.status,
       p.published_at, p.archived_at, p.created_at, p.updated_at, p.version, p.view_count,
       u.id AS creator_id, u.username AS creator_username, u.display_name AS creator_display_name
FROM pitches p
JOIN users u ON u.id = p.creator_id
WHERE p.id = $1 AND p.deleted_at IS NULL
FOR NO KEY UPDATE OF p
