-- name: pitches.import_changed
-- for: imported pitches whose record has changed: ids, titles, loglines, synopses, genres (joined by commas), formats, years, casts (joined by U+001F); owner, state and dates are not the import's to change
-- index: pitches_pkey
-- sample: SELECT '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'
UPDATE /* pitches.import_changed */ pitches p
SET title = t.title, logline = t.logline, synopsis = t.synopsis, genres = string_to_array(t.genres, ','),
    format = t.format, release_year = t.release_year, cast_members = string_to_array(t.cast_members, E'\x1f'),
    updated_at = now(), version = p.version + 1
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::smallint[], $8::text[])
    AS t (id, title, logline, synopsis, genres, format, release_year, cast_members)
WHERE p.id = t.id
