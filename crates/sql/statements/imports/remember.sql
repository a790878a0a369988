-- name: imports.remember
-- for: what the records of a batch became: source, natural keys, pitches, hashes of their content
-- index: import_records_pkey
-- sample: SELECT 'films', '{}', '{}', '{}'
INSERT INTO /* imports.remember */ import_records (source, natural_key, pitch_id, content_hash)
SELECT $1, natural_key, pitch_id, content_hash
FROM unnest($2::text[], $3::uuid[], $4::bytea[]) AS t (natural_key, pitch_id, content_hash)
ON CONFLICT (source, natural_key) DO UPDATE SET content_hash = excluded.content_hash
