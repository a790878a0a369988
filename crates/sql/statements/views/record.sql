-- name: views.record
-- for: views, each counted once for its pitch, day and viewer: of which pitches, by whom, when; how many were new
-- index: pitches_pkey, pitch_views_pkey
-- sample: SELECT array_agg(id), array_agg('\x00112233445566778899aabbccddeeff'::bytea), array_agg(now()) FROM (SELECT id FROM pitches TABLESAMPLE SYSTEM (1) LIMIT 100) p
WITH /* views.record */ seen AS (
    SELECT DISTINCT ON (v.pitch_id, day, v.viewer_key) v.pitch_id, day, v.viewer_key, v.viewed_at
    FROM unnest($1::uuid[], $2::bytea[], $3::timestamptz[]) AS v (pitch_id, viewer_key, viewed_at)
    CROSS JOIN LATERAL (SELECT (v.viewed_at AT TIME ZONE 'UTC')::date AS day) d
    JOIN pitches p ON p.id = v.pitch_id
    WHERE p.status = 'published' AND p.visibility <> 'private' AND p.deleted_at IS NULL
    -- Views before counts, and both in one order for all, so that two batches cannot deadlock.
    ORDER BY v.pitch_id, day, v.viewer_key, v.viewed_at
), added AS (
    INSERT INTO pitch_views (pitch_id, day, viewer_key, viewed_at)
    SELECT pitch_id, day, viewer_key, viewed_at FROM seen
    ON CONFLICT DO NOTHING
    RETURNING pitch_id
), fresh AS (
    SELECT pitch_id, count(*) AS views FROM added GROUP BY pitch_id
), locked AS (
    SELECT p.id, f.views FROM fresh f JOIN pitches p ON p.id = f.pitch_id
    ORDER BY p.id FOR NO KEY UPDATE OF p
), counted AS (
    UPDATE pitches p SET view_count = p.view_count + l.views FROM locked l WHERE p.id = l.id
)
SELECT coalesce(sum(views), 0)::bigint AS "counted!" FROM fresh
