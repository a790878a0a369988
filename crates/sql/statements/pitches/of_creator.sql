-- name: pitches.of_creator
-- for: a creator's own pitches, drafts included, last edited first; the last key of the page before, or nulls; how many
-- index: pitches_of_creator
-- sample: SELECT id, null, null, 21 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* pitches.of_creator */
       id, title, status, visibility, format, stage, updated_at, version
FROM pitches
WHERE creator_id = $1 AND deleted_at IS NULL
  AND (updated_at, id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY updated_at DESC, id DESC
LIMIT $4
