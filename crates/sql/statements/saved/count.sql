-- name: saved.count
-- for: how often a pitch was saved
-- index: saved_pitches_pitch
-- sample: SELECT id FROM pitches TABLESAMPLE SYSTEM (1) LIMIT 100
SELECT /* saved.count */ count(*) AS "count!" FROM saved_pitches WHERE pitch_id = $1
