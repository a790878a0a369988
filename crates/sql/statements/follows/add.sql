-- name: follows.add
-- for: follows an account once: who, whom, when; whether there is such an account, and whether it was not followed yet
-- index: users_pkey
-- sample: SELECT follower_id, followed_id, now() FROM follows TABLESAMPLE SYSTEM (10) LIMIT 100
WITH /* follows.add */ followed AS (
    SELECT id FROM users WHERE id = $2 AND deleted_at IS NULL
), added AS (
    INSERT INTO follows (follower_id, followed_id, created_at)
    SELECT $1, id, $3 FROM followed
    ON CONFLICT (follower_id, followed_id) DO NOTHING
    RETURNING followed_id
)
SELECT EXISTS (SELECT FROM followed) AS "is_there!", EXISTS (SELECT FROM added) AS "is_new!"
