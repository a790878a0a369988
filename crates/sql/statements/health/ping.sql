-- name: health.ping
-- for: is the database there
-- index: none
-- sample: SELECT
SELECT /* health.ping */ 1 AS "one!"
