-- name: interests.of_creator
-- for: interests by side, newest first; the last key of the page before, or nulls; how many
-- index: interests_of_creator, pitches_pkey, users_pkey
-- sample: SELECT id, null, null, 21 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* interests.of_creator */
       i.id, i.pitch_id, p.title AS pitch_title,
       v.id AS investor_id, v.username AS investor_username, v.display_name AS investor_display_name,
       c.id AS creator_id, c.username AS creator_username, c.display_name AS creator_display_name,
       i.status, i.amount_minor, i.currency, i.message, i.created_at, i.decided_at, i.version
FROM investment_interests i
JOIN pitches p ON p.id = i.pitch_id
JOIN users v ON v.id = i.investor_id
JOIN users c ON c.id = i.creator_id
WHERE i.creator_id = $1 AND (i.created_at, i.id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY i.created_at DESC, i.id DESC LIMIT $4
