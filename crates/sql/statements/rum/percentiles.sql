-- name: rum.percentiles
-- for: what readers felt in a span of time, by metric and route
-- index: rum_events_time
-- sample: SELECT coalesce(max(occurred_at), now()) - interval '1 hour', coalesce(max(occurred_at), now()) FROM rum_events
SELECT /* rum.percentiles */ metric, route, count(*) AS "count!",
       percentile_cont(0.75) WITHIN GROUP (ORDER BY value) AS "p75!",
       percentile_cont(0.95) WITHIN GROUP (ORDER BY value) AS "p95!"
FROM rum_events WHERE occurred_at >= $1 AND occurred_at < $2 GROUP BY metric, route
