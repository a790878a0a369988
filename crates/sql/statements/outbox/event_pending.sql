-- name: outbox.event_pending
-- for: events to deliver, in order for each aggregate; how many
-- index: event_outbox_pending
-- sample: SELECT 100
SELECT /* outbox.event_pending */ id, aggregate_kind, aggregate_id, event_kind, payload, attempts FROM event_outbox
WHERE delivered_at IS NULL ORDER BY aggregate_id, id LIMIT $1 FOR UPDATE SKIP LOCKED
