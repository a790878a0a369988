-- name: outbox.event_mark
-- for: events that were delivered, and ones that could not be
-- index: event_outbox_pkey
-- sample: SELECT array_agg(id), '{}'::bigint[] FROM (SELECT id FROM event_outbox TABLESAMPLE SYSTEM (10) LIMIT 100) e
UPDATE /* outbox.event_mark */ event_outbox
SET attempts = attempts + 1,
    delivered_at = CASE WHEN id = ANY ($1::bigint[]) THEN clock_timestamp() END,
    -- Twice as long each time, at most a quarter of a minute: what always fails must not keep others waiting.
    retry_at = CASE WHEN id = ANY ($1) THEN NULL
                    ELSE clock_timestamp() + interval '250 milliseconds' * power(2, least(attempts, 6)) END
WHERE id = ANY ($1 || $2::bigint[])
