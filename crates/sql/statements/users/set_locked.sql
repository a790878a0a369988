-- name: users.set_locked
-- for: locks an account, or with null unlocks it: which, since when, when
-- index: users_pkey
-- sample: SELECT id, now(), now() FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
UPDATE /* users.set_locked */ users SET locked_at = $2, updated_at = $3 WHERE id = $1
