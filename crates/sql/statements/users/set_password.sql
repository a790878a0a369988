-- name: users.set_password
-- for: one hash of a password in place of another: whose, which, by which, when
-- index: users_pkey
-- sample: SELECT id, 'x', 'y', now() FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
UPDATE /* users.set_password */ users SET password_hash = $3, updated_at = $4
WHERE id = $1 AND password_hash = $2 AND deleted_at IS NULL
