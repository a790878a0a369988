-- name: idempotency.by_key
-- for: the answer to a request that came before: whose, its key, now
-- index: idempotency_keys_pkey
-- sample: SELECT id, 'none', now() FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* idempotency.by_key */ request_hash, response_status AS "response_status!", response_headers AS "response_headers!", response_body AS "response_body!" FROM idempotency_keys
WHERE user_id = $1 AND key = $2 AND expires_at > $3
