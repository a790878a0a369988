-- name: outbox.status
-- for: how far deliveries are behind; each count ends at a bound
-- index: cache_outbox_pending, cache_outbox_delivered, event_outbox_order, event_outbox_delivered
-- sample: SELECT 100000
SELECT /* outbox.status */
       (SELECT count(*) FROM (SELECT FROM cache_outbox WHERE delivered_at IS NULL LIMIT $1) AS bounded) AS "tags_pending!",
       (SELECT extract(epoch FROM now() - created_at)::float8 FROM cache_outbox
        WHERE delivered_at IS NULL ORDER BY id LIMIT 1) AS tags_oldest_s,
       (SELECT count(*) FROM (SELECT FROM cache_outbox WHERE delivered_at >= now() - interval '1 hour' LIMIT $1) AS bounded) AS "tags_delivered!",
       (SELECT count(*) FROM (SELECT FROM event_outbox WHERE delivered_at IS NULL LIMIT $1) AS bounded) AS "events_pending!",
       (SELECT extract(epoch FROM now() - created_at)::float8 FROM event_outbox
        WHERE delivered_at IS NULL ORDER BY id LIMIT 1) AS events_oldest_s,
       (SELECT count(*) FROM (SELECT FROM event_outbox WHERE delivered_at >= now() - interval '1 hour' LIMIT $1) AS bounded) AS "events_delivered!",
       (SELECT coalesce(max(attempts), 0) FROM (SELECT attempts FROM event_outbox
        WHERE delivered_at IS NULL ORDER BY id LIMIT $1) AS bounded) AS "attempts!"
