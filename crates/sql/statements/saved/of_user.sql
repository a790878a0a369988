-- name: saved.of_user
-- for: what a user saved and is on the site, newest first; the last key of the page before, or nulls; how many
-- index: saved_pitches_of_user, pitches_pkey, users_pkey
-- sample: SELECT id, null, null, 21 FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
SELECT /* saved.of_user */
       s.created_at AS sort_key,
       p.id, p.title, p.logline, p.genres, p.format, p.stage, p.visibility, p.release_year,
       p.cover_media_id, p.published_at AS "published_at!", p.view_count,
       u.id AS creator_id, u.username AS creator_username, u.display_name AS creator_display_name
FROM saved_pitches s
JOIN pitches p ON p.id = s.pitch_id
JOIN users u ON u.id = p.creator_id
WHERE s.user_id = $1 AND (s.created_at, s.pitch_id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
  AND p.status = 'published' AND p.visibility <> 'private' AND p.deleted_at IS NULL
ORDER BY s.created_at DESC, s.pitch_id DESC LIMIT $4
