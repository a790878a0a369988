-- name: search.highlights
-- for: where the words of a search stand in titles, loglines and synopses; marks are U+E000 and U+E001, so that the caller can escape the text first
-- index: pitches_pkey
-- sample: SELECT array_agg(id), max(split_part(title, ' ', 1)) FROM (SELECT id, title, (row_number() OVER ()) / 20 AS g FROM pitches TABLESAMPLE SYSTEM (1) LIMIT 2000) p GROUP BY g LIMIT 50
WITH /* search.highlights */ q AS MATERIALIZED (SELECT websearch_to_tsquery('pitchey', $2) AS words)
SELECT p.id,
       ts_headline('pitchey', p.title, q.words, 'HighlightAll=true, StartSel=, StopSel=') AS "title!",
       ts_headline('pitchey', p.logline, q.words, 'HighlightAll=true, StartSel=, StopSel=') AS "logline!",
       ts_headline('pitchey', p.synopsis, q.words, 'MaxFragments=1, MaxWords=24, MinWords=8, StartSel=, StopSel=') AS "synopsis!"
FROM pitches p, q
WHERE p.id = ANY ($1::uuid[])
