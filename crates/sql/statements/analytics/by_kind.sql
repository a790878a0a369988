-- name: analytics.by_kind
-- for: events by kind in a span of time
-- index: analytics_events_time
-- sample: SELECT coalesce(max(occurred_at), now()) - interval '6 hours', coalesce(max(occurred_at), now()) FROM analytics_events
SELECT /* analytics.by_kind */ kind, count(*) AS "count!" FROM analytics_events WHERE occurred_at >= $1 AND occurred_at < $2 GROUP BY kind
