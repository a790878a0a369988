-- name: users.lock
-- for: holds an account while several of its sessions change; always before the sessions themselves
-- index: users_pkey
-- sample: SELECT id FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* users.lock */ username, role, password_hash, locked_at FROM users WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE
