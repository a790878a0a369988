-- name: listings.refresh_scores
-- for: the scores that lists sort by, for the pitches viewed since a moment; scheduled
-- index: pitch_views_time, pitch_listings_pkey
-- sample: SELECT now() - interval '10 minutes'
UPDATE /* listings.refresh_scores */ pitch_listings l
SET trending_score = greatest(p.trending_score, trending_base(p.published_at)), view_count = p.view_count
FROM pitches p
WHERE l.pitch_id = p.id
  AND p.id IN (SELECT pitch_id FROM pitch_views WHERE viewed_at >= $1)
  AND (l.trending_score, l.view_count) IS DISTINCT FROM (greatest(p.trending_score, trending_base(p.published_at)), p.view_count)
