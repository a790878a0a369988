-- name: analytics.of_pitch
-- for: a pitch's latest events; since when, how many
-- index: analytics_events_pitch
-- sample: SELECT pitch_id, occurred_at - interval '30 days', 100 FROM analytics_events TABLESAMPLE SYSTEM (1) WHERE pitch_id IS NOT NULL LIMIT 100
SELECT /* analytics.of_pitch */ id, occurred_at, kind, path FROM analytics_events
WHERE pitch_id = $1 AND occurred_at >= $2 ORDER BY occurred_at DESC LIMIT $3
