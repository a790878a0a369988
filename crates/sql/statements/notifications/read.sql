-- name: notifications.read
-- for: marks some as read: whose, which, when
-- index: notifications_pkey
-- sample: SELECT user_id, ARRAY[id], now() FROM notifications TABLESAMPLE SYSTEM (1) LIMIT 100
UPDATE /* notifications.read */ notifications SET read_at = $3
WHERE id = ANY ($2::uuid[]) AND user_id = $1 AND read_at IS NULL
