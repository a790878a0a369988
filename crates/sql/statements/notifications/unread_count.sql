-- name: notifications.unread_count
-- for: the number on the bell
-- index: notifications_unread
-- sample: SELECT id FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* notifications.unread_count */ count(*) AS "count!" FROM notifications WHERE user_id = $1 AND read_at IS NULL
