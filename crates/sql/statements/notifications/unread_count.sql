-- name: notifications.unread_count
-- for: the number on the bell: whose, counted up to how many
-- index: notifications_unread
-- sample: SELECT id, 100 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* notifications.unread_count */ count(*) AS "count!"
FROM (SELECT FROM notifications WHERE user_id = $1 AND read_at IS NULL LIMIT $2) AS bounded
