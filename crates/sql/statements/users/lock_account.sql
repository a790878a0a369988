-- name: users.lock_account
-- for: an account as its owner sees it, to be changed
-- index: users_pkey
-- sample: SELECT id FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* users.lock_account */ id, username, email, role, display_name, bio, company, location, website,
       avatar_media_id, created_at, updated_at, version
FROM users WHERE id = $1 AND deleted_at IS NULL
FOR NO KEY UPDATE
