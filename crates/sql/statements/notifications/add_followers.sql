-- name: notifications.add_followers
-- for: a notification for the newest followers of an account, and an event for each: whose followers, what kind, about what, when, how many
-- index: follows_followers
-- sample: SELECT id, 'pitch_published', '{}'::jsonb, now(), 5000 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
WITH /* notifications.add_followers */ told AS (
    INSERT INTO notifications (id, user_id, kind, payload, created_at)
    SELECT gen_random_uuid(), f.follower_id, $2::text, $3::jsonb, $4::timestamptz
    FROM follows f WHERE f.followed_id = $1
    ORDER BY f.created_at DESC, f.follower_id DESC LIMIT $5::bigint
    RETURNING id, user_id
)
INSERT INTO event_outbox (aggregate_kind, aggregate_id, event_kind, payload)
SELECT 'user', user_id, 'notified',
       jsonb_build_object('kind', 'notified', 'user_id', user_id, 'notification_id', id, 'notice', $2::text)
FROM told
