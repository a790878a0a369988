-- name: sessions.end_all
-- for: ends the live sessions of an account but the newest: whose, now, how many stay
-- index: sessions_of_user, sessions_pkey
-- sample: SELECT id, now(), 0 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
UPDATE /* sessions.end_all */ sessions SET revoked_at = $2
WHERE id = ANY (ARRAY(
    SELECT id FROM sessions
    WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 AND idle_expires_at > $2
    ORDER BY created_at DESC, id DESC OFFSET $3
))
RETURNING id
