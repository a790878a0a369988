-- name: outbox.cache_replay
-- for: invalidations delivered in a span of time, to be delivered again; from when, until when, how many at once
-- index: cache_outbox_delivered
-- sample: SELECT now() - interval '400 days', now() - interval '399 days', 1000
UPDATE /* outbox.cache_replay */ cache_outbox SET delivered_at = NULL
WHERE id = ANY (ARRAY(SELECT id FROM cache_outbox WHERE delivered_at >= $1 AND delivered_at < $2 ORDER BY delivered_at LIMIT $3))
