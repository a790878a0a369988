-- name: imports.finish
-- for: a run that reached the end of its file: its id, source, the hash of its file or null; runs of the same file that were cut off need not go on
-- index: imports_pkey, imports_unfinished
-- sample: SELECT gen_random_uuid(), 'films', NULL
UPDATE /* imports.finish */ imports SET finished_at = now()
WHERE finished_at IS NULL AND (id = $1 OR (source = $2 AND file_sha256 = $3))
