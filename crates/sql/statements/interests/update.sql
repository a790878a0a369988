-- name: interests.update
-- for: an interest as it is now: which, at which version, its status, decided when, when, its version now
-- index: investment_interests_pkey
-- sample: SELECT id, version, 'accepted', now(), now(), version + 1 FROM investment_interests TABLESAMPLE SYSTEM (10) LIMIT 100
UPDATE /* interests.update */ investment_interests
SET status = $3, decided_at = $4, updated_at = $5, version = $6
WHERE id = $1 AND version = $2
