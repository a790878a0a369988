-- name: follows.remove
-- for: no longer follows an account: who, whom
-- index: follows_pkey
-- sample: SELECT follower_id, followed_id FROM follows TABLESAMPLE SYSTEM (10) LIMIT 100
DELETE FROM /* follows.remove */ follows WHERE follower_id = $1 AND followed_id = $2
