-- name: sessions.of_user
-- for: a user's live sessions, newest first; now, how many
-- index: sessions_of_user
-- sample: SELECT id, now(), 100 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* sessions.of_user */ id, user_agent, ip, created_at, last_seen_at, idle_expires_at, expires_at
FROM sessions WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 AND idle_expires_at > $2
ORDER BY created_at DESC, id DESC LIMIT $3
