-- name: users.by_email
-- for: sign-in
-- index: users_email
-- sample: SELECT email FROM users TABLESAMPLE SYSTEM (10) WHERE email IS NOT NULL LIMIT 100
SELECT /* users.by_email */ id, username, password_hash, role, failed_logins, locked_until, locked_at, version
FROM users WHERE email = $1 AND deleted_at IS NULL
