-- name: sessions.end_own
-- for: ends a live session of an account: which, whose, now
-- index: sessions_pkey
-- sample: SELECT id, user_id, now() FROM sessions TABLESAMPLE SYSTEM (10) LIMIT 100
UPDATE /* sessions.end_own */ sessions SET revoked_at = $3
-- `IS TRUE` keeps the planner from walking all sessions of the account.
WHERE id = $1 AND (user_id = $2) IS TRUE AND revoked_at IS NULL AND expires_at > $3 AND idle_expires_at > $3
