-- name: outbox.event_heads
-- for: aggregates whose oldest pending event may be delivered now, oldest first, each held until the end of the transaction; how many
-- index: event_outbox_order, event_outbox_pending
-- sample: SELECT 100
WITH /* outbox.event_heads */ heads AS MATERIALIZED (
    SELECT h.aggregate_id FROM event_outbox h
    WHERE h.delivered_at IS NULL AND (h.retry_at IS NULL OR h.retry_at <= now())
      AND NOT EXISTS (SELECT FROM event_outbox e
                      WHERE e.aggregate_id = h.aggregate_id AND e.delivered_at IS NULL AND e.id < h.id)
    ORDER BY h.id LIMIT $1
    FOR UPDATE OF h SKIP LOCKED
)
-- An event that was numbered earlier and committed later is a new head beside the one that is held: the lock
-- of the whole aggregate keeps a second relay from it.
SELECT aggregate_id FROM heads WHERE pg_try_advisory_xact_lock(hashtextextended('outbox ' || aggregate_id, 0))
