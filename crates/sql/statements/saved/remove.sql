-- name: saved.remove
-- for: no longer saves a pitch: who, which
-- index: saved_pitches_pkey
-- sample: SELECT user_id, pitch_id FROM saved_pitches TABLESAMPLE SYSTEM (10) LIMIT 100
DELETE FROM /* saved.remove */ saved_pitches WHERE user_id = $1 AND pitch_id = $2
