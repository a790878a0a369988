-- name: notifications.read_all
-- for: marks what is unread as read: whose, when; how many at once
-- index: notifications_unread, notifications_pkey
-- sample: SELECT id, now(), 1000 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
UPDATE /* notifications.read_all */ notifications SET read_at = $2
WHERE id = ANY (ARRAY(SELECT id FROM notifications WHERE user_id = $1 AND read_at IS NULL LIMIT $3))
  AND read_at IS NULL
