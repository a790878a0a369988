-- name: ndas.create
-- for: a request for an NDA: its id, for which pitch, who asks, who decides, what is said, when
-- index: none
-- sample: SELECT gen_random_uuid(), pitch_id, requester_id, creator_id, '', now() FROM ndas TABLESAMPLE SYSTEM (10) WHERE status IN ('rejected', 'revoked') LIMIT 100
INSERT INTO /* ndas.create */ ndas (id, pitch_id, requester_id, creator_id, message, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $6)
