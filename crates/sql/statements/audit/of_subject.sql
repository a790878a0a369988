-- name: audit.of_subject
-- for: the latest entries of one subject; how many
-- index: audit_log_subject
-- sample: SELECT id, 100 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* audit.of_subject */ id, created_at, action, subject_kind, subject_id, detail FROM audit_log
WHERE subject_id = $1 ORDER BY created_at DESC LIMIT $2
