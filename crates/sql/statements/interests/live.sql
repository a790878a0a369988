-- name: interests.live
-- for: the live interest of an investor in a pitch
-- index: interests_live
-- sample: SELECT pitch_id, investor_id FROM investment_interests TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* interests.live */ id, status, amount_minor, currency, version FROM investment_interests
WHERE pitch_id = $1 AND investor_id = $2 AND status IN ('expressed', 'accepted')
