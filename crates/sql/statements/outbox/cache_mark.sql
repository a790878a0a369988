-- name: outbox.cache_mark
-- for: invalidations that were delivered
-- index: cache_outbox_pkey
-- sample: SELECT array_agg(id) FROM (SELECT id FROM cache_outbox TABLESAMPLE SYSTEM (10) LIMIT 100) c
UPDATE /* outbox.cache_mark */ cache_outbox SET delivered_at = clock_timestamp() WHERE id = ANY ($1::bigint[])
