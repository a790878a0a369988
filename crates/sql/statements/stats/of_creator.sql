-- name: stats.of_creator
-- for: a creator's figures over all their pitches
-- index: mv_pitch_stats_creator
-- sample: SELECT id FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* stats.of_creator */ count(*) AS "pitches!", coalesce(sum(views), 0)::bigint AS "views!", coalesce(sum(views_7d), 0)::bigint AS "views_7d!",
       coalesce(sum(saves), 0)::bigint AS "saves!", coalesce(sum(ndas_requested), 0)::bigint AS "ndas_requested!",
       coalesce(sum(ndas_approved), 0)::bigint AS "ndas_approved!", coalesce(sum(interests), 0)::bigint AS "interests!"
FROM mv_pitch_stats WHERE creator_id = $1
