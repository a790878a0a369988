-- name: outbox.cache_pending
-- for: invalidations to deliver, oldest first; how many
-- index: cache_outbox_pending
-- sample: SELECT 100
SELECT /* outbox.cache_pending */ id, tag, created_at FROM cache_outbox WHERE delivered_at IS NULL ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
