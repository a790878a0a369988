-- name: notifications.add
-- for: a notification for one account: its id, whose, what kind, about what, when
-- index: none
-- sample: SELECT gen_random_uuid(), id, 'followed', '{}'::jsonb, now() FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
INSERT INTO /* notifications.add */ notifications (id, user_id, kind, payload, created_at)
VALUES ($1, $2, $3, $4, $5)
