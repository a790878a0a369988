-- name: users.present
-- for: which of these accounts are there
-- index: users_pkey
-- sample: SELECT array_agg(id) FROM (SELECT id FROM users TABLESAMPLE SYSTEM (10) LIMIT 100) u
SELECT /* users.present */ id FROM users WHERE id = ANY ($1::uuid[])
