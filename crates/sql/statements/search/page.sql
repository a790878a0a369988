-- name: search.page
-- for: ranked full-text search: words as a searcher types them, genre and format or nulls, the last key of the page before or nulls, how many, facets wanted
-- index: pitches_title_key, pitches_title_search, pitches_title_search_sample, pitches_search, pitches_search_sample
-- sample: SELECT CASE n % 3 WHEN 0 THEN title WHEN 1 THEN split_part(title, ' ', 1) ELSE split_part(logline, ' ', 3) || ' ' || split_part(logline, ' ', 4) END, CASE WHEN n % 4 = 0 THEN genres[1] END, CASE WHEN n % 8 = 0 THEN format END, null, null, 21, n % 2 = 0 FROM (SELECT *, row_number() OVER () AS n FROM pitches TABLESAMPLE SYSTEM (1) WHERE status = 'published' LIMIT 2000) p ORDER BY md5(id::text) LIMIT 100
WITH /* search.page */ q AS MATERIALIZED (
    SELECT websearch_to_tsquery('pitchey', $1) AS words, title_key($1) AS key,
           quote_literal('genre:' || $2::text)::tsquery AS genre,
           quote_literal('format:' || $3::text)::tsquery AS format
), asked AS MATERIALIZED (
    SELECT words, key, coalesce(genre && format, genre, format) AS filter,
           -- A phrase is looked for as words, and its order is looked at afterwards: two common words that
           -- seldom stand together would have all their rows read.
           CASE WHEN words::text ~ '<' AND words::text !~ '!\('
                THEN regexp_replace(words::text, '<(?:-|\d+)>', '&', 'g')::tsquery ELSE words END AS loose
    FROM q
), sought AS MATERIALIZED (
    SELECT words, words = loose AS is_plain, coalesce(loose && filter, loose) AS filtered
    FROM asked
    -- Stop words alone, or excluded words alone, find nothing: they would find (nearly) everything.
    WHERE querytree(words) NOT IN ('', 'T')
-- The work is bounded: the very title, 300 with the words anywhere, and if there may be more, 300 with the
-- words in the title. An index gives all rows that it finds at once, which for a common word is a good part
-- of the table: a sample of one pitch in thirty-two has indexes of its own, and the rest is asked only if
-- the sample was not enough.
), anywhere AS MATERIALIZED (
    SELECT p.id, p.genres, p.format, sought.is_plain OR p.search @@ sought.words AS is_found,
           ts_rank_cd(p.search, sought.words, 1) AS rank
    FROM sought CROSS JOIN LATERAL (
        (SELECT p.id, p.genres, p.format, p.search FROM pitches p
         WHERE p.search @@ sought.filtered
           AND p.status = 'published' AND p.visibility <> 'private' AND p.deleted_at IS NULL
           AND get_byte(uuid_send(p.id), 15) < 8)
        UNION ALL
        (SELECT p.id, p.genres, p.format, p.search FROM pitches p
         WHERE p.search @@ sought.filtered
           AND p.status = 'published' AND p.visibility <> 'private' AND p.deleted_at IS NULL
           AND NOT get_byte(uuid_send(p.id), 15) < 8)
        LIMIT 300) p
), in_title AS (
    SELECT p.id, p.genres, p.format, sought.is_plain OR p.search @@ sought.words AS is_found,
           ts_rank_cd(p.search, sought.words, 1) AS rank
    FROM sought CROSS JOIN LATERAL (
        (SELECT p.id, p.genres, p.format, p.search FROM pitches p
         WHERE (to_tsvector('pitchey', p.title) || facet_lexemes(p.genres, p.format)) @@ sought.filtered
           AND p.status = 'published' AND p.visibility <> 'private' AND p.deleted_at IS NULL
           AND get_byte(uuid_send(p.id), 15) < 8)
        UNION ALL
        (SELECT p.id, p.genres, p.format, p.search FROM pitches p
         WHERE (to_tsvector('pitchey', p.title) || facet_lexemes(p.genres, p.format)) @@ sought.filtered
           AND p.status = 'published' AND p.visibility <> 'private' AND p.deleted_at IS NULL
           AND NOT get_byte(uuid_send(p.id), 15) < 8)
        LIMIT 300) p
    WHERE (SELECT count(*) FROM anywhere) = 300
), the_title AS (
    SELECT p.id, p.genres, p.format, true AS is_found, 2::real + ts_rank_cd(p.search, asked.words, 1) AS rank
    FROM pitches p, asked
    WHERE title_key(p.title) = asked.key
      AND (asked.filter IS NULL OR facet_lexemes(p.genres, p.format) @@ asked.filter)
      AND p.status = 'published' AND p.visibility <> 'private' AND p.deleted_at IS NULL
    LIMIT 100
), ranked AS MATERIALIZED (
    -- Found twice, the very title counts.
    -- 1: a rank is divided by 1 + the logarithm of the length, so that a short title beats a long text.
    SELECT DISTINCT ON (id) id, genres, format, rank
    FROM (SELECT * FROM the_title UNION ALL SELECT * FROM in_title UNION ALL SELECT * FROM anywhere) found
    WHERE is_found
    ORDER BY id, rank DESC
), facets AS (
    SELECT jsonb_build_object(
        'total', (SELECT count(*) FROM ranked),
        'genres', (SELECT coalesce(jsonb_object_agg(genre, n), '{}') FROM (
            SELECT genre, count(*) AS n FROM ranked, unnest(genres) AS genre GROUP BY genre) g),
        'formats', (SELECT coalesce(jsonb_object_agg(format, n), '{}') FROM (
            SELECT format, count(*) AS n FROM ranked GROUP BY format) f)) AS counts
    WHERE $7::boolean
), page AS (
    SELECT id, rank FROM ranked
    WHERE (rank, id) < (coalesce($4::real, 'infinity'), coalesce($5::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
    ORDER BY rank DESC, id DESC
    LIMIT $6
)
SELECT
       page.rank AS "sort_key!",
       p.id, p.title, p.logline, p.genres, p.format, p.stage, p.visibility, p.release_year,
       p.cover_media_id, p.published_at AS "published_at!", p.view_count,
       u.id AS creator_id, u.username AS creator_username, u.display_name AS creator_display_name,
       CASE WHEN row_number() OVER (ORDER BY page.rank DESC, page.id DESC) = 1
            THEN (SELECT counts FROM facets) END AS facets
FROM page
JOIN pitches p ON p.id = page.id
JOIN users u ON u.id = p.creator_id
ORDER BY page.rank DESC, page.id DESC
