-- name: outbox.event_add
-- for: the events of a transaction, in order: kinds and ids of their aggregates, their kinds, their JSON
-- index: none
-- sample: SELECT ARRAY['pitch'], ARRAY[gen_random_uuid()], ARRAY['pitch_changed'], ARRAY['{}']
INSERT INTO /* outbox.event_add */ event_outbox (aggregate_kind, aggregate_id, event_kind, payload)
SELECT aggregate_kind, aggregate_id, event_kind, payload::jsonb
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[]) WITH ORDINALITY
     AS e (aggregate_kind, aggregate_id, event_kind, payload, place)
ORDER BY place
