-- name: outbox.wake
-- for: tells the relays of every origin that there is something to deliver, once this transaction is committed; gives its moment
-- index: none
-- sample: SELECT
WITH /* outbox.wake */ told AS MATERIALIZED (SELECT pg_notify('outbox', '')) SELECT now() AS "now!" FROM told
