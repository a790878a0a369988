-- name: idempotency.expired
-- for: clean-up; how many at once
-- index: idempotency_keys_expired
-- sample: SELECT now() - interval '400 days', 1000
DELETE FROM /* idempotency.expired */ idempotency_keys WHERE (user_id, key) IN (SELECT user_id, key FROM idempotency_keys WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)
