-- name: duty.claim
-- for: whether nobody else is at a duty; holds until it is released or the connection ends
-- index: none
-- sample: SELECT 'none'
SELECT /* duty.claim */ pg_try_advisory_lock(hashtextextended('duty ' || $1::text, 0)) AS "claimed!"
