-- name: pitches.delete
-- for: removes a pitch: which, at which version, when, its version now
-- index: pitches_pkey
-- sample: SELECT id, version, now(), version + 1 FROM pitches TABLESAMPLE SYSTEM (1) LIMIT 100
UPDATE /* pitches.delete */ pitches
SET deleted_at = $3, updated_at = $3, version = $4
WHERE id = $1 AND version = $2 AND deleted_at IS NULL
