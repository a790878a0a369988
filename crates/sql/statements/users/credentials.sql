-- name: users.credentials
-- for: what a change of an account's password is checked against
-- index: users_pkey
-- sample: SELECT id FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* users.credentials */ id, username, display_name, role, password_hash, locked_at IS NOT NULL AS "locked!"
FROM users WHERE id = $1 AND deleted_at IS NULL
