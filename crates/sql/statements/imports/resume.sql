-- name: imports.resume
-- for: the run of this file that was cut off
-- index: imports_unfinished
-- sample: SELECT 'films', NULL
SELECT /* imports.resume */ id, lines_done, created, updated, unchanged, rejected FROM imports
WHERE source = $1 AND file_sha256 = $2 AND finished_at IS NULL ORDER BY started_at DESC LIMIT 1
