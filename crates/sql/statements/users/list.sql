-- name: users.list
-- for: accounts for an operator, the last made first; the last id of the page before, a role, whether locked, a text in names and addresses, each or null; how many
-- index: users_pkey
-- sample: SELECT id, null, null, null, 50 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* users.list */ id, username, email, role, display_name, created_at, updated_at, locked_at, deleted_at, version
FROM users
WHERE id < coalesce($1::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
  AND ($2::text IS NULL OR role = $2)
  AND ($3::boolean IS NULL OR (locked_at IS NOT NULL) = $3)
  AND ($4::text IS NULL OR strpos(username, $4) > 0 OR strpos(email, $4) > 0 OR strpos(lower(display_name), $4) > 0)
ORDER BY id DESC
LIMIT $5
