-- name: trending.refresh
-- for: scores of the pitches viewed since a moment, from their views of thirty days; scheduled
-- index: pitch_views_time, pitch_views_pkey, pitches_pkey
-- sample: SELECT now() - interval '10 minutes'
WITH /* trending.refresh */ touched AS (
    SELECT DISTINCT pitch_id FROM pitch_views WHERE viewed_at >= $1
), scored AS (
    SELECT t.pitch_id, s.score
    FROM touched t
    CROSS JOIN LATERAL (
        -- log2 of the sum of 2^(age in half-lives of three days), taken relative to now so that no power
        -- overflows; the publication counts as one view.
        SELECT extract(epoch FROM now())::float8 / 259200
               + ln(exp(ln(2) * greatest(trending_base(p.published_at) - extract(epoch FROM now())::float8 / 259200, -60))
                    + sum(exp(ln(2) * extract(epoch FROM v.viewed_at - now())::float8 / 259200))) / ln(2) AS score
        FROM pitches p
        JOIN pitch_views v ON v.pitch_id = p.id AND v.day >= current_date - 30
        WHERE p.id = t.pitch_id AND p.published_at IS NOT NULL
        GROUP BY p.published_at
    ) s
), locked AS (
    -- In the order of views.record, which counts meanwhile: the two cannot deadlock.
    SELECT p.id, s.score
    FROM scored s JOIN pitches p ON p.id = s.pitch_id
    -- The sum taken relative to now is another in its last digits each time, which is no reason to write.
    WHERE abs(p.trending_score - s.score) > 1e-9
    ORDER BY p.id FOR NO KEY UPDATE OF p
)
UPDATE pitches p SET trending_score = locked.score FROM locked WHERE p.id = locked.id
