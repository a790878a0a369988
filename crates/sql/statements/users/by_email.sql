-- name: users.by_email
-- for: what signing in with an address is checked against
-- index: users_email
-- sample: SELECT email FROM users TABLESAMPLE SYSTEM (10) WHERE email IS NOT NULL LIMIT 100
SELECT /* users.by_email */ id, username, display_name, role, password_hash, locked_at IS NOT NULL AS "locked!"
FROM users WHERE email = $1 AND deleted_at IS NULL
