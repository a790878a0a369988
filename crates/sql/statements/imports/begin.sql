-- name: imports.begin
-- for: a run that begins: its id, source, the hash of its file or null
-- index: none
-- sample: SELECT gen_random_uuid(), 'films', NULL
INSERT INTO /* imports.begin */ imports (id, source, file_sha256) VALUES ($1, $2, $3)
