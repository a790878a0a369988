-- name: ndas.live
-- for: the live NDA of a person for a pitch: may they read the protected part
-- index: ndas_live
-- sample: SELECT pitch_id, requester_id FROM ndas TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* ndas.live */ id, status, expires_at, version FROM ndas
WHERE pitch_id = $1 AND requester_id = $2 AND status IN ('requested', 'approved')
