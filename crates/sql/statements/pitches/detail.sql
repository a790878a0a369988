-- name: pitches.detail
-- for: the public part of a listed pitch
-- index: pitches_pkey
-- sample: SELECT id FROM pitches TABLESAMPLE SYSTEM (1) LIMIT 100
SELECT /* pitches.detail */
       p.id, p.title, p.logline, p.genres, p.format, p.stage, p.visibility, p.release_year,
       p.cover_media_id, p.published_at AS "published_at!", p.view_count,
       u.id AS creator_id, u.username AS creator_username, u.display_name AS creator_display_name,
       p.synopsis, p.cast_members, p.updated_at, p.version
FROM pitches p
JOIN users u ON u.id = p.creator_id
WHERE p.id = $1 AND p.status = 'published' AND p.visibility <> 'private' AND p.deleted_at IS NULL
