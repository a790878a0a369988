-- name: pitches.creator_trending
-- for: a creator's listed pitches on a shelf, most watched of late first; the last key of the page before, or nulls; formats and stages to show; how many; the creator
-- index: pitch_listings_creator_trending
-- sample: SELECT l.shelf, CASE WHEN l.n % 2 = 0 THEN l.trending_score::text END, CASE WHEN l.n % 2 = 0 THEN l.pitch_id END, CASE WHEN l.n % 3 = 0 THEN ARRAY[l.format] ELSE '{feature,short,series,limited_series,documentary,web_series}'::text[] END, CASE WHEN l.n % 5 = 0 THEN ARRAY[l.stage] ELSE '{concept,treatment,script,packaging,pre_production,production,post_production,completed}'::text[] END, 21, l.creator_id FROM (SELECT *, row_number() OVER () AS n FROM pitch_listings TABLESAMPLE SYSTEM (1) LIMIT 5000) l ORDER BY md5(l.pitch_id::text) LIMIT 100
SELECT /* pitches.creator_trending */
       page.trending_score AS sort_key,
       p.id, p.title, p.logline, p.genres, p.format, p.stage, p.visibility, p.release_year,
       p.cover_media_id, p.published_at AS "published_at!", p.view_count,
       u.id AS creator_id, u.username AS creator_username, u.display_name AS creator_display_name
FROM (
    SELECT pitch_id, trending_score
    FROM pitch_listings
    WHERE shelf = $1
      AND creator_id = $7
      AND (trending_score, pitch_id) < (coalesce($2::float8, 'infinity'), coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
      AND format = ANY ($4::text[])
      AND stage = ANY ($5::text[])
    ORDER BY trending_score DESC, pitch_id DESC
    LIMIT $6
) page
JOIN pitches p ON p.id = page.pitch_id
JOIN users u ON u.id = p.creator_id
ORDER BY page.trending_score DESC, page.pitch_id DESC
