-- name: outbox.event_replay
-- for: events delivered in a span of time, to be delivered again; from when, until when, of which kind or null, how many at once
-- index: event_outbox_delivered
-- sample: SELECT now() - interval '400 days', now() - interval '399 days', null, 1000
UPDATE /* outbox.event_replay */ event_outbox SET delivered_at = NULL, retry_at = NULL
WHERE id = ANY (ARRAY(SELECT id FROM event_outbox
                      WHERE delivered_at >= $1 AND delivered_at < $2 AND ($3::text IS NULL OR event_kind = $3)
                      ORDER BY delivered_at, id LIMIT $4))
