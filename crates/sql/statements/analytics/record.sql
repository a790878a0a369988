-- name: analytics.record
-- for: events: ids, when, kinds, accounts, pitches, clients, pages, more about them; those that are there stay
-- index: analytics_events_pkey
-- sample: SELECT ARRAY[gen_random_uuid()], ARRAY[now()], ARRAY['page.view'], ARRAY[null::uuid], ARRAY[null::uuid], ARRAY['\x00112233445566778899aabbccddeeff'::bytea], ARRAY['/'], ARRAY['{}'::jsonb]
INSERT INTO /* analytics.record */ analytics_events (id, occurred_at, kind, user_id, pitch_id, client_key, path, payload)
SELECT id, occurred_at, kind, user_id, pitch_id, client_key, path,
       -- Numbers take more room here than as text: an event that grew too large stays, without its payload,
       -- rather than take the batch with it.
       CASE WHEN pg_column_size(payload) <= 8192 THEN payload ELSE '{}' END
FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::uuid[], $5::uuid[], $6::bytea[], $7::text[], $8::jsonb[])
    AS e (id, occurred_at, kind, user_id, pitch_id, client_key, path, payload)
-- One order for all, so that a batch and its repetition cannot deadlock.
ORDER BY occurred_at, id
ON CONFLICT (occurred_at, id) DO NOTHING
