-- name: imports.progress
-- for: what a run has done so far: its id, the last line done, created, updated, unchanged, rejected
-- index: imports_pkey
-- sample: SELECT gen_random_uuid(), 1, 1, 0, 0, 0
UPDATE /* imports.progress */ imports
SET lines_done = $2, created = $3, updated = $4, unchanged = $5, rejected = $6 WHERE id = $1
