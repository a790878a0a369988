-- name: outbox.event_delivered
-- for: removal of delivered rows older than a moment; how many at once
-- index: event_outbox_delivered
-- sample: SELECT now() - interval '400 days', 1000
DELETE FROM /* outbox.event_delivered */ event_outbox WHERE id = ANY (ARRAY(SELECT id FROM event_outbox WHERE delivered_at < $1 ORDER BY delivered_at LIMIT $2))
