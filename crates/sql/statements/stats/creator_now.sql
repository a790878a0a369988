-- name: stats.creator_now
-- for: what a creator has now and what waits for an answer, counted among so many of each: whose, how many
-- index: follows_followers, ndas_of_creator, interests_of_creator
-- sample: SELECT id, 10000 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
-- In no order: asked for the latest ones, the server may read and sort all there are to count a part of them.
SELECT /* stats.creator_now */
       own.drafts AS "drafts!", own.published AS "published!", own.archived AS "archived!",
       (SELECT count(*) FROM (SELECT FROM follows f
        WHERE f.followed_id = $1 LIMIT $2) AS bounded) AS "followers!",
       (SELECT count(*) FILTER (WHERE status = 'requested') FROM (SELECT status FROM ndas
        WHERE creator_id = $1 LIMIT $2) AS bounded) AS "ndas_waiting!",
       (SELECT count(*) FILTER (WHERE status = 'expressed') FROM (SELECT status FROM investment_interests
        WHERE creator_id = $1 LIMIT $2) AS bounded) AS "interests_waiting!"
FROM (
    SELECT count(*) FILTER (WHERE status = 'draft') AS drafts,
           count(*) FILTER (WHERE status = 'published') AS published,
           count(*) FILTER (WHERE status = 'archived') AS archived
    FROM (SELECT status FROM pitches
          WHERE creator_id = $1 AND deleted_at IS NULL LIMIT $2) AS bounded
) AS own
