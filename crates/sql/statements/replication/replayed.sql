-- name: replication.replayed
-- for: up to which position of the log a replica has replayed, in bytes since its beginning; null on a primary
-- index: none
-- sample: SELECT
SELECT /* replication.replayed */ CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint END AS position
