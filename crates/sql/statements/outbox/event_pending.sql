-- name: outbox.event_pending
-- for: the pending events of aggregates, in order: which, how many of each
-- index: event_outbox_pending
-- sample: SELECT array_agg(aggregate_id), 16 FROM (SELECT aggregate_id FROM event_outbox TABLESAMPLE SYSTEM (10) LIMIT 100) e
SELECT /* outbox.event_pending */ e.id AS "id!", e.aggregate_kind AS "aggregate_kind!", e.aggregate_id AS "aggregate_id!",
       e.event_kind AS "event_kind!", e.payload::text AS "payload!", e.created_at AS "created_at!", e.attempts AS "attempts!"
FROM unnest($1::uuid[]) AS a (id)
CROSS JOIN LATERAL (
    SELECT * FROM event_outbox o WHERE o.aggregate_id = a.id AND o.delivered_at IS NULL ORDER BY o.id LIMIT $2
) e
ORDER BY e.id
