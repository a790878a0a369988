-- name: ndas.of_requester
-- for: NDAs by side, newest first; the last key of the page before, or nulls; how many
-- index: ndas_of_requester
-- sample: SELECT id, null, null, 21 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* ndas.of_requester */ n.id, n.pitch_id, p.title AS pitch_title, n.requester_id, n.creator_id, n.status, n.message, n.created_at, n.decided_at, n.expires_at, n.version
FROM ndas n JOIN pitches p ON p.id = n.pitch_id
WHERE n.requester_id = $1 AND (n.created_at, n.id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY n.created_at DESC, n.id DESC LIMIT $4
