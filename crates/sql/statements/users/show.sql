-- name: users.show
-- for: an account with its figures, for an operator: which, now; each count ends at 10,000
-- index: users_pkey, sessions_of_user, pitches_of_creator
-- sample: SELECT id, now() FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* users.show */
       u.id, u.username, u.email, u.role, u.display_name, u.created_at, u.updated_at, u.locked_at, u.deleted_at, u.version,
       u.password_hash IS NOT NULL AS "has_password!",
       (SELECT count(*) FROM (SELECT FROM sessions s
        WHERE s.user_id = u.id AND s.revoked_at IS NULL AND s.expires_at > $2 AND s.idle_expires_at > $2
        LIMIT 10000) AS bounded) AS "sessions!",
       (SELECT max(recent.last_seen_at) FROM (SELECT s.last_seen_at FROM sessions s
        WHERE s.user_id = u.id AND s.revoked_at IS NULL ORDER BY s.created_at DESC, s.id DESC LIMIT 100) AS recent) AS last_seen_at,
       (SELECT count(*) FROM (SELECT FROM pitches p
        WHERE p.creator_id = u.id AND p.deleted_at IS NULL LIMIT 10000) AS bounded) AS "pitches!"
FROM users u
WHERE u.id = $1
