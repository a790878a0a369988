-- name: users.set_profile
-- for: what an account says about itself: whose, name on pages, about, company, location, site, when, its version now
-- index: users_pkey
-- sample: SELECT id, display_name, bio, company, location, website, now(), version + 1 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
UPDATE /* users.set_profile */ users
SET display_name = $2, bio = $3, company = $4, location = $5, website = $6, updated_at = $7, version = $8
WHERE id = $1
