-- name: saved.add
-- for: saves a pitch once: who, which, when
-- index: none
-- sample: SELECT user_id, pitch_id, now() FROM saved_pitches TABLESAMPLE SYSTEM (10) LIMIT 100
INSERT INTO /* saved.add */ saved_pitches (user_id, pitch_id, created_at) VALUES ($1, $2, $3)
ON CONFLICT (user_id, pitch_id) DO NOTHING
