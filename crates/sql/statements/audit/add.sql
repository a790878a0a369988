-- name: audit.add
-- for: an entry: its id, who, what, to what kind of thing, to which, more about it, from where, in which request, when
-- index: none
-- sample: SELECT gen_random_uuid(), id, 'pitch.publish', 'pitch', gen_random_uuid(), '{}'::jsonb, '127.0.0.1'::inet, 'r', now() FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
INSERT INTO /* audit.add */ audit_log (id, actor_id, action, subject_kind, subject_id, detail, ip, request_id, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
