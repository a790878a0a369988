-- name: search.correct
-- for: the nearest known word to each word of a search that found nothing; null where none is near
-- index: search_words_deletes, search_words_trigrams, search_words_initial, pitches_title_search
-- sample: SELECT left(word, 2) || substr(word, 4) FROM search_words TABLESAMPLE SYSTEM (10) WHERE length(word) > 5 LIMIT 100
WITH /* search.correct */ asked AS (
    SELECT left(word, 64) AS word, ordinality
    FROM regexp_split_to_table(title_key($1), ' ') WITH ORDINALITY AS t (word, ordinality)
    WHERE word <> ''
    ORDER BY ordinality
    LIMIT 16
)
SELECT asked.word AS "asked!", nearest.word AS "nearest?"
FROM asked
LEFT JOIN LATERAL (
    -- One slip: without a letter of one or of both, the words are the same.
    WITH one_slip AS MATERIALIZED (
        SELECT s.word FROM search_words s WHERE word_deletes(s.word) && word_deletes(asked.word)
    )
    SELECT near.word
    FROM (
        SELECT known.word, d.distance, similarity(known.word, asked.word) AS likeness
        FROM (
            SELECT word FROM one_slip
            UNION
            SELECT s.word FROM search_words s
            WHERE s.word % asked.word AND NOT EXISTS (SELECT FROM one_slip)
            UNION
            SELECT s.word FROM search_words s
            WHERE length(asked.word) <= 6
              AND left(s.word, 1) = left(asked.word, 1)
              AND length(s.word) = ANY (ARRAY[length(asked.word) - 1, length(asked.word), length(asked.word) + 1])
              AND NOT EXISTS (SELECT FROM one_slip)
        ) known
        CROSS JOIN LATERAL (
            SELECT levenshtein_less_equal(known.word, asked.word, 3) AS slips OFFSET 0
        ) v
        CROSS JOIN LATERAL (
            -- Neighbours that changed places are one slip, which Levenshtein counts as two; and the most
            -- frequent one, so a half.
            SELECT CASE WHEN v.slips = 2 AND length(known.word) = length(asked.word) AND (
                       SELECT left(known.word, first - 1) || substr(known.word, first + 1, 1)
                              || substr(known.word, first, 1) || substr(known.word, first + 2) = asked.word
                       FROM (SELECT min(i) AS first FROM generate_series(1, length(asked.word)) AS i
                             WHERE substr(known.word, i, 1) <> substr(asked.word, i, 1)) AS mismatch)
                   THEN 0.5 ELSE v.slips END AS distance OFFSET 0
        ) d
        -- One slip in a short word, two in a longer one.
        WHERE d.distance <= CASE WHEN length(asked.word) <= 4 THEN 1 WHEN length(asked.word) <= 8 THEN 2 ELSE 3 END
        ORDER BY d.distance, likeness DESC, known.word
        LIMIT 8
    ) near
    -- Of words as near, the more alike and the more often in titles.
    ORDER BY near.distance, near.likeness * (1 + (
        SELECT count(*) FROM (
            SELECT FROM pitches p
            WHERE (to_tsvector('pitchey', p.title) || facet_lexemes(p.genres, p.format)) @@ plainto_tsquery('pitchey', near.word)
              AND p.status = 'published' AND p.visibility <> 'private' AND p.deleted_at IS NULL
            LIMIT 100) AS bounded)) DESC, near.word
    LIMIT 1
) nearest ON true
ORDER BY asked.ordinality
