-- name: outbox.cache_acknowledge
-- for: invalidations that the request which caused them has delivered itself; not waited for on disk, since a mark that a crash takes back costs a second delivery
-- index: cache_outbox_pkey
-- sample: SELECT array_agg(id) FROM (SELECT id FROM cache_outbox TABLESAMPLE SYSTEM (10) LIMIT 100) c
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
UPDATE /* outbox.cache_acknowledge */ cache_outbox SET delivered_at = clock_timestamp() FROM quick WHERE id = ANY ($1::bigint[]) AND delivered_at IS NULL
