-- name: outbox.cache_add
-- for: the tags of what a transaction changed; gives the numbers of their rows
-- index: none
-- sample: SELECT ARRAY['search']
INSERT INTO /* outbox.cache_add */ cache_outbox (tag) SELECT unnest($1::text[]) RETURNING id
