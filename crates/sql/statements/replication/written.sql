-- name: replication.written
-- for: a position of the log that includes every write that was acknowledged before, in bytes since its beginning
-- index: none
-- sample: SELECT
SELECT /* replication.written */ (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint AS "position!"
