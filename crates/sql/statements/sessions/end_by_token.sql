-- name: sessions.end_by_token
-- for: ends the live session of a token: the hash, now
-- index: sessions_token
-- sample: SELECT token_hash, now() FROM sessions TABLESAMPLE SYSTEM (10) LIMIT 100
UPDATE /* sessions.end_by_token */ sessions SET revoked_at = $2
WHERE token_hash = $1 AND revoked_at IS NULL AND expires_at > $2 AND idle_expires_at > $2
RETURNING id, user_id
