-- name: idempotency.claim
-- for: whether nobody else works on a request with this key; holds until the end of the transaction
-- index: none
-- sample: SELECT id, 'none' FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* idempotency.claim */ pg_try_advisory_xact_lock(hashtextextended($1::uuid || ' ' || $2::text, 0)) AS "claimed!"
