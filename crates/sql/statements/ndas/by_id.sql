-- name: ndas.by_id
-- for: an NDA
-- index: ndas_pkey, pitches_pkey, users_pkey
-- sample: SELECT id FROM ndas TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* ndas.by_id */
       n.id, n.pitch_id, p.title AS pitch_title,
       r.id AS requester_id, r.username AS requester_username, r.display_name AS requester_display_name,
       c.id AS creator_id, c.username AS creator_username, c.display_name AS creator_display_name,
       n.status, n.message, n.decision, n.created_at, n.decided_at, n.expires_at, n.version
FROM ndas n
JOIN pitches p ON p.id = n.pitch_id
JOIN users r ON r.id = n.requester_id
JOIN users c ON c.id = n.creator_id
WHERE n.id = $1
