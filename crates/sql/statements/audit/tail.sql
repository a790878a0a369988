-- name: audit.tail
-- for: entries, newest first, not before a moment; the last key of the page before, or nulls; how many
-- index: audit_log_time
-- sample: SELECT '-infinity', null, null, 100
SELECT /* audit.tail */ id, created_at, actor_id, action, subject_kind, subject_id, detail, ip, request_id FROM audit_log
WHERE created_at >= $1
  AND (created_at, id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY created_at DESC, id DESC LIMIT $4
