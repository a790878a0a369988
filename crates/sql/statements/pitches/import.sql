-- name: pitches.import
-- for: imported pitches, on the site at once: ids, creators, titles, loglines, synopses, genres (joined by commas), formats, years, casts (joined by U+001F), dates of publication
-- index: none
-- sample: SELECT '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'
INSERT INTO /* pitches.import */ pitches (id, creator_id, title, logline, synopsis, genres, format, stage, release_year,
    cast_members, status, visibility, published_at, trending_score)
SELECT id, creator_id, title, logline, synopsis, string_to_array(genres, ','), format, 'completed', release_year,
    string_to_array(cast_members, E'\x1f'), 'published', 'public', published_at, trending_base(published_at)
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::smallint[],
            $9::text[], $10::timestamptz[])
    AS t (id, creator_id, title, logline, synopsis, genres, format, release_year, cast_members, published_at)
