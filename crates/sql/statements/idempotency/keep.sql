-- name: idempotency.keep
-- for: the answer to a request: whose, its key, its hash, status, header fields, body, when, until when
-- index: idempotency_keys_pkey
-- sample: SELECT id, gen_random_uuid()::text, sha256('x'), 201::smallint, '{}'::jsonb, '{}'::bytea, now(), now() FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
INSERT INTO /* idempotency.keep */ idempotency_keys
    (user_id, key, request_hash, response_status, response_headers, response_body, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
-- One that is there has expired, or it would have been the answer.
ON CONFLICT (user_id, key) DO UPDATE
SET request_hash = excluded.request_hash, response_status = excluded.response_status,
    response_headers = excluded.response_headers, response_body = excluded.response_body,
    created_at = excluded.created_at, expires_at = excluded.expires_at
