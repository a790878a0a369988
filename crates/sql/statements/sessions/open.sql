-- name: sessions.open
-- for: a session: its id, whose, the hash of its token, what the client calls itself, from where, when, until when unused, until when at all
-- index: none
-- sample: SELECT gen_random_uuid(), id, sha256('x'), '', '127.0.0.1'::inet, now(), now() + interval '1 day', now() + interval '30 days' FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
INSERT INTO /* sessions.open */ sessions
    (id, user_id, token_hash, user_agent, ip, created_at, last_seen_at, idle_expires_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8)
