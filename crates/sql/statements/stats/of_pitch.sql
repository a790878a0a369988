-- name: stats.of_pitch
-- for: a pitch's figures for its creator
-- index: mv_pitch_stats_pitch
-- sample: SELECT id FROM pitches TABLESAMPLE SYSTEM (1) LIMIT 100
SELECT /* stats.of_pitch */ views, views_7d, saves, ndas_requested, ndas_approved, interests FROM mv_pitch_stats WHERE pitch_id = $1
