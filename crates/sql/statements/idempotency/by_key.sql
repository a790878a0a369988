-- name: idempotency.by_key
-- for: the answer to a request that came before
-- index: idempotency_keys_pkey
-- sample: SELECT id, 'none' FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* idempotency.by_key */ request_hash, response_status, response_headers, response_body FROM idempotency_keys
WHERE user_id = $1 AND key = $2 AND expires_at > now()
