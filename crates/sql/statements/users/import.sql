-- name: users.import
-- for: accounts of imported creators, which nobody signs in to: ids, user names, display names; what is there stays
-- index: users_pkey, users_username
-- sample: SELECT '{}', '{}', '{}'
INSERT INTO /* users.import */ users (id, username, role, display_name)
SELECT id, username, 'creator', display_name
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS t (id, username, display_name)
-- One order for all, so that two imports cannot deadlock.
ORDER BY id
ON CONFLICT DO NOTHING
