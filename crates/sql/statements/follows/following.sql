-- name: follows.following
-- for: whom a user follows, newest first; the last key of the page before, or nulls; how many
-- index: follows_following, users_pkey
-- sample: SELECT id, null, null, 21 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* follows.following */ f.created_at AS sort_key, u.id, u.username, u.display_name
FROM follows f JOIN users u ON u.id = f.followed_id
WHERE f.follower_id = $1 AND (f.created_at, f.followed_id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
  AND u.deleted_at IS NULL
ORDER BY f.created_at DESC, f.followed_id DESC LIMIT $4
