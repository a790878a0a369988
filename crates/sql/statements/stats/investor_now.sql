-- name: stats.investor_now
-- for: what an investor has now, counted among so many of each: whose, now, how many
-- index: saved_pitches_of_user, follows_following, ndas_of_requester, interests_of_investor
-- sample: SELECT id, now(), 10000 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* stats.investor_now */
       (SELECT count(*) FROM (SELECT FROM saved_pitches
        WHERE user_id = $1 ORDER BY created_at DESC LIMIT $3) AS bounded) AS "saved!",
       (SELECT count(*) FROM (SELECT FROM follows
        WHERE follower_id = $1 ORDER BY created_at DESC LIMIT $3) AS bounded) AS "following!",
       ndas.waiting AS "ndas_waiting!", ndas.approved AS "ndas_approved!",
       interests.waiting AS "interests_waiting!", interests.accepted AS "interests_accepted!"
FROM (
    SELECT count(*) FILTER (WHERE status = 'requested') AS waiting,
           count(*) FILTER (WHERE status = 'approved' AND expires_at > $2) AS approved
    FROM (SELECT status, expires_at FROM ndas
          WHERE requester_id = $1 LIMIT $3) AS bounded
) AS ndas, (
    SELECT count(*) FILTER (WHERE status = 'expressed') AS waiting,
           count(*) FILTER (WHERE status = 'accepted') AS accepted
    FROM (SELECT status FROM investment_interests
          WHERE investor_id = $1 LIMIT $3) AS bounded
) AS interests
