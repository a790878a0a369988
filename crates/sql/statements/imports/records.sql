-- name: imports.records
-- for: what the records of a batch became the last time
-- index: import_records_pkey
-- sample: SELECT 'films', ARRAY['none']
SELECT /* imports.records */ natural_key, pitch_id, content_hash FROM import_records WHERE source = $1 AND natural_key = ANY ($2::text[])
