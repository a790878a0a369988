-- name: users.id_by_username
-- for: the account behind a name in a filter
-- index: users_username
-- sample: SELECT username FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* users.id_by_username */ id FROM users WHERE username = $1 AND deleted_at IS NULL
