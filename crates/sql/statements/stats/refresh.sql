-- name: stats.refresh
-- for: the figures of mv_pitch_stats, without locking out its readers; scheduled
-- index: mv_pitch_stats_pitch
-- sample: SELECT
REFRESH MATERIALIZED VIEW /* stats.refresh */ CONCURRENTLY mv_pitch_stats
