-- name: media.by_key
-- for: serving an image
-- index: media_key
-- sample: SELECT 'covers/none.avif'
SELECT /* media.by_key */ id, owner_id, pitch_id, kind, content_type, byte_size, sha256, variants FROM media WHERE key = $1 AND deleted_at IS NULL
