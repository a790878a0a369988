-- name: users.set_role
-- for: what an account is for: which, its role, when
-- index: users_pkey
-- sample: SELECT id, role, now() FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
UPDATE /* users.set_role */ users SET role = $2, updated_at = $3, version = version + 1 WHERE id = $1
