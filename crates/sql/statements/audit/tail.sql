-- name: audit.tail
-- for: the latest entries; the last key of the page before, or nulls; how many
-- index: audit_log_time
-- sample: SELECT null, null, 100
SELECT /* audit.tail */ id, created_at, actor_id, action, subject_kind, subject_id, detail, request_id FROM audit_log
WHERE (created_at, id) < (coalesce($1::timestamptz, 'infinity'), coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY created_at DESC, id DESC LIMIT $3
