-- name: sessions.by_token
-- for: who is signed in, on every signed-in request
-- index: sessions_token
-- sample: SELECT token_hash FROM sessions TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* sessions.by_token */ s.id, s.user_id, s.last_seen_at, s.idle_expires_at, s.expires_at, u.username, u.role
FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.token_hash = $1 AND s.revoked_at IS NULL AND s.expires_at > now() AND s.idle_expires_at > now()
  AND u.locked_at IS NULL AND u.deleted_at IS NULL
