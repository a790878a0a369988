-- name: users.register
-- for: an account: its id, name, address, hash of the password, role, name on pages, when; not if its name or its address is taken
-- index: users_pkey, users_username, users_email
-- sample: SELECT gen_random_uuid(), 'a-new-name', 'a-new@address.example', 'x', 'creator', 'N', now()
INSERT INTO /* users.register */ users (id, username, email, password_hash, role, display_name, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
-- Waits for whoever is just taking the name or the address, where a unique violation would tell of one alone.
ON CONFLICT DO NOTHING
