-- name: ndas.update
-- for: an NDA as it is now: which, at which version, its status, what was said, decided when, good until when, when, its version now
-- index: ndas_pkey
-- sample: SELECT id, version, 'revoked', '', now(), null::timestamptz, now(), version + 1 FROM ndas TABLESAMPLE SYSTEM (10) LIMIT 100
UPDATE /* ndas.update */ ndas
SET status = $3, decision = $4, decided_at = $5, expires_at = $6, updated_at = $7, version = $8
WHERE id = $1 AND version = $2
