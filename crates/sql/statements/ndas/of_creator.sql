-- name: ndas.of_creator
-- for: NDAs by side, newest first; the last key of the page before, or nulls; how many
-- index: ndas_of_creator, pitches_pkey, users_pkey
-- sample: SELECT id, null, null, 21 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* ndas.of_creator */
       n.id, n.pitch_id, p.title AS pitch_title,
       r.id AS requester_id, r.username AS requester_username, r.display_name AS requester_display_name,
       c.id AS creator_id, c.username AS creator_username, c.display_name AS creator_display_name,
       n.status, n.message, n.decision, n.created_at, n.decided_at, n.expires_at, n.version
FROM ndas n
JOIN pitches p ON p.id = n.pitch_id
JOIN users r ON r.id = n.requester_id
JOIN users c ON c.id = n.creator_id
WHERE n.creator_id = $1 AND (n.created_at, n.id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY n.created_at DESC, n.id DESC LIMIT $4
