-- name: media.of_pitch
-- for: attachments of a pitch
-- index: media_of_pitch
-- sample: SELECT id FROM pitches TABLESAMPLE SYSTEM (1) LIMIT 100
SELECT /* media.of_pitch */ id, kind, key, content_type, byte_size, created_at FROM media
WHERE pitch_id = $1 AND deleted_at IS NULL ORDER BY created_at LIMIT 100
