-- name: users.find
-- for: the account that an operator means: by id, name or address, each or null
-- index: users_pkey, users_username, users_email
-- sample: SELECT id, username, email FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* users.find */ id FROM users WHERE id = $1 OR username = $2 OR email = $3
-- What looks like an id can be somebody's name.
ORDER BY id = $1 DESC NULLS LAST LIMIT 1
