-- name: pitches.of_creator
-- for: a creator's own pitches, drafts included, last edited first; the last key of the page before, or nulls; how many
-- index: pitches_of_creator, users_pkey
-- sample: SELECT id, null, null, 21 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* pitches.of_creator */
       p.id, p.title, p.logline, p.synopsis, p.genres, p.format, p.stage, p.release_year, p.cast_members,
       p.visibility, p.full_synopsis, p.budget_minor, p.budget_currency, p.cover_media_id, p.status,
       p.published_at, p.archived_at, p.created_at, p.updated_at, p.version, p.view_count,
       u.id AS creator_id, u.username AS creator_username, u.display_name AS creator_display_name
FROM pitches p
JOIN users u ON u.id = p.creator_id
WHERE p.creator_id = $1 AND p.deleted_at IS NULL
  AND (p.updated_at, p.id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY p.updated_at DESC, p.id DESC
LIMIT $4
