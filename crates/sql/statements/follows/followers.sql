-- name: follows.followers
-- for: who follows a user, newest first; the last key of the page before, or nulls; how many
-- index: follows_followers
-- sample: SELECT id, null, null, 21 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* follows.followers */ f.created_at AS sort_key, u.id, u.username, u.display_name, u.role
FROM follows f JOIN users u ON u.id = f.follower_id
WHERE f.followed_id = $1 AND (f.created_at, f.follower_id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY f.created_at DESC, f.follower_id DESC LIMIT $4
