-- name: users.profile
-- for: a public profile with its figures
-- index: users_username, follows_followers, pitch_listings_creator_new
-- sample: SELECT username FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* users.profile */
       u.id, u.username, u.display_name, u.role, u.bio, u.company, u.location, u.website,
       u.avatar_media_id, u.created_at, u.updated_at, u.version,
       -- Counting stops where the figure no longer matters to a reader.
       (SELECT count(*) FROM (SELECT FROM pitch_listings l
        WHERE l.creator_id = u.id AND l.shelf = 'all' ORDER BY l.published_at DESC LIMIT 10000) AS bounded) AS "pitch_count!",
       (SELECT count(*) FROM (SELECT FROM follows f
        WHERE f.followed_id = u.id LIMIT 10000) AS bounded) AS "follower_count!"
FROM users u
WHERE u.username = $1 AND u.deleted_at IS NULL
