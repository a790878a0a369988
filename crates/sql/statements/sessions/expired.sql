-- name: sessions.expired
-- for: clean-up of sessions that ended before a moment; how many at once
-- index: sessions_expired
-- sample: SELECT now() - interval '400 days', 1000
DELETE FROM /* sessions.expired */ sessions WHERE id = ANY (ARRAY(SELECT id FROM sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2))
