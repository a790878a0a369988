-- name: interests.live
-- for: the live interest in a pitch of an investor
-- index: interests_live, pitches_pkey, users_pkey
-- sample: SELECT pitch_id, investor_id FROM investment_interests TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* interests.live */
       i.id, i.pitch_id, p.title AS pitch_title,
       v.id AS investor_id, v.username AS investor_username, v.display_name AS investor_display_name,
       c.id AS creator_id, c.username AS creator_username, c.display_name AS creator_display_name,
       i.status, i.amount_minor, i.currency, i.message, i.created_at, i.decided_at, i.version
FROM investment_interests i
JOIN pitches p ON p.id = i.pitch_id
JOIN users v ON v.id = i.investor_id
JOIN users c ON c.id = i.creator_id
WHERE i.pitch_id = $1 AND i.investor_id = $2 AND i.status IN ('expressed', 'accepted')
