-- name: audit.of_actor
-- for: the latest entries of one actor; how many
-- index: audit_log_actor
-- sample: SELECT id, 100 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* audit.of_actor */ id, created_at, action, subject_kind, subject_id, detail FROM audit_log
WHERE actor_id = $1 ORDER BY created_at DESC LIMIT $2
