-- name: sessions.by_token
-- for: who is signed in, on every signed-in request: the hash of the token, now
-- index: sessions_token, users_pkey
-- sample: SELECT token_hash, now() FROM sessions TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* sessions.by_token */ s.id, s.user_id, s.last_seen_at, s.idle_expires_at, s.expires_at, u.username, u.display_name, u.role
FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.token_hash = $1 AND s.revoked_at IS NULL AND s.expires_at > $2 AND s.idle_expires_at > $2
  AND u.locked_at IS NULL AND u.deleted_at IS NULL
