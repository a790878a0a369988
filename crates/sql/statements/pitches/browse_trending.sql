-- name: pitches.browse_trending
-- for: a page of a shelf (`all`, `public` or a genre), most watched of late first; the last key of the page before, or nulls; formats and stages to show; how many
-- index: pitch_listings_trending
-- sample: SELECT l.shelf, CASE WHEN l.n % 2 = 0 THEN l.trending_score::text END, CASE WHEN l.n % 2 = 0 THEN l.pitch_id END, CASE WHEN l.n % 3 = 0 THEN ARRAY[l.format] ELSE '{feature,short,series,limited_series,documentary,web_series}'::text[] END, CASE WHEN l.n % 5 = 0 THEN ARRAY[l.stage] ELSE '{concept,treatment,script,packaging,pre_production,production,post_production,completed}'::text[] END, 21 FROM (SELECT *, row_number() OVER () AS n FROM pitch_listings TABLESAMPLE SYSTEM (1) LIMIT 5000) l ORDER BY md5(l.pitch_id::text) LIMIT 100
SELECT /* pitches.browse_trending */
       page.trending_score AS sort_key,
       p.id, p.title, p.logline, p.genres, p.format, p.stage, p.visibility, p.release_year,
       p.cover_media_id, p.published_at AS "published_at!", p.view_count,
       u.id AS creator_id, u.username AS creator_username, u.display_name AS creator_display_name
FROM (
    -- One walk for each format and stage, each as long as the page: a rare pair costs no more than a common
    -- one, where a filter on a walk of the shelf would go through all of it.
    SELECT walk.pitch_id, walk.trending_score
    FROM (SELECT DISTINCT unnest($4::text[]) AS format) f
    CROSS JOIN (SELECT DISTINCT unnest($5::text[]) AS stage) s
    CROSS JOIN LATERAL (
        SELECT l.pitch_id, l.trending_score
        FROM pitch_listings l
        WHERE l.shelf = $1 AND l.format = f.format AND l.stage = s.stage
          AND (l.trending_score, l.pitch_id) < (coalesce($2::float8, 'infinity'), coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
        ORDER BY l.trending_score DESC, l.pitch_id DESC
        LIMIT $6
    ) walk
    ORDER BY walk.trending_score DESC, walk.pitch_id DESC
    LIMIT $6
) page
JOIN pitches p ON p.id = page.pitch_id
JOIN users u ON u.id = p.creator_id
ORDER BY page.trending_score DESC, page.pitch_id DESC
