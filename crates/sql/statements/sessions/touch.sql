-- name: sessions.touch
-- for: a live session was used: which, until when it is good now if unused, now
-- index: sessions_pkey
-- sample: SELECT id, now() + interval '1 day', now() FROM sessions TABLESAMPLE SYSTEM (10) LIMIT 100
UPDATE /* sessions.touch */ sessions
-- Several origins may say so in any order: neither time goes back.
SET last_seen_at = greatest(last_seen_at, $3), idle_expires_at = least(expires_at, greatest(idle_expires_at, $2))
WHERE id = $1 AND revoked_at IS NULL AND expires_at > $3 AND idle_expires_at > $3
