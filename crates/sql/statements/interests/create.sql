-- name: interests.create
-- for: an interest: its id, in which pitch, whose, who decides, how much, of which currency, what is said, when
-- index: none
-- sample: SELECT gen_random_uuid(), pitch_id, investor_id, creator_id, 100, 'EUR', '', now() FROM investment_interests TABLESAMPLE SYSTEM (10) WHERE status IN ('withdrawn', 'declined') LIMIT 100
INSERT INTO /* interests.create */ investment_interests
    (id, pitch_id, investor_id, creator_id, amount_minor, currency, message, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
