-- name: sessions.end
-- for: ends a live session: which, now
-- index: sessions_pkey
-- sample: SELECT id, now() FROM sessions TABLESAMPLE SYSTEM (10) LIMIT 100
UPDATE /* sessions.end */ sessions SET revoked_at = $2
WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2 AND idle_expires_at > $2
RETURNING user_id
