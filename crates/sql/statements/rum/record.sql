-- name: rum.record
-- for: measurements: ids, when, metrics, values, kinds of pages, locations, kinds of connections; those that are there stay
-- index: rum_events_pkey
-- sample: SELECT ARRAY[gen_random_uuid()], ARRAY[now()], ARRAY['lcp'], ARRAY[1.0::float8], ARRAY['/'], ARRAY[''], ARRAY['']
INSERT INTO /* rum.record */ rum_events (id, occurred_at, metric, value, route, edge_location, connection)
SELECT id, occurred_at, metric, value, route, edge_location, connection
FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::float8[], $5::text[], $6::text[], $7::text[])
    AS r (id, occurred_at, metric, value, route, edge_location, connection)
-- One order for all, so that a batch and its repetition cannot deadlock.
ORDER BY occurred_at, id
ON CONFLICT (occurred_at, id) DO NOTHING
