-- name: duty.release
-- for: lets others at a duty
-- index: none
-- sample: SELECT 'none'
SELECT /* duty.release */ pg_advisory_unlock(hashtextextended('duty ' || $1::text, 0)) AS "released!"
