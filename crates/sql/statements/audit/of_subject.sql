-- name: audit.of_subject
-- for: entries of one subject, newest first, not before a moment; the last key of the page before, or nulls; by one actor or null; how many
-- index: audit_log_subject
-- sample: SELECT id, '-infinity', null, null, null, 100 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* audit.of_subject */ id, created_at, actor_id, action, subject_kind, subject_id, detail, ip, request_id FROM audit_log
WHERE subject_id = $1 AND created_at >= $2
  -- The index leads by time alone: entries of one moment are few.
  AND created_at <= coalesce($3::timestamptz, 'infinity')
  AND (created_at, id) < (coalesce($3::timestamptz, 'infinity'), coalesce($4::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
  AND ($5::uuid IS NULL OR actor_id = $5)
ORDER BY created_at DESC, id DESC LIMIT $6
