-- name: notifications.of_user
-- for: notifications, newest first; the last key of the page before, or nulls; how many
-- index: notifications_of_user
-- sample: SELECT id, null, null, 21 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* notifications.of_user */ id, kind, payload, created_at, read_at FROM notifications
WHERE user_id = $1 AND (created_at, id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY created_at DESC, id DESC LIMIT $4
