-- name: partitions.ensure
-- for: makes the partitions that are missing: of which table, a month or a day each, from when, until when; how many it made
-- index: none
-- sample: SELECT 'rum_events', 'day', now(), now()
SELECT /* partitions.ensure */ ensure_partitions($1, $2, $3, $4) AS "made!"
