-- Relays take the oldest event of each aggregate first, and come back later to one that could not be delivered.

ALTER TABLE event_outbox ADD COLUMN retry_at timestamptz;
COMMENT ON COLUMN event_outbox.retry_at IS 'not before this moment; null: at once';

-- Rows stay for a day, so building it takes seconds at most; writers of the outbox wait for so long.
CREATE INDEX event_outbox_order ON event_outbox (id) WHERE delivered_at IS NULL;
COMMENT ON INDEX event_outbox_order IS 'outbox.event_heads, outbox.status: oldest first';
