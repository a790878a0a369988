-- name: pitches.create
-- for: a draft: its id, whose, title, logline, synopsis, genres, format, stage, year, cast, visibility, full synopsis, budget, its currency, when
-- index: none
-- sample: SELECT gen_random_uuid(), id, 'T', '', '', '{}'::text[], 'feature', 'script', null, '{}'::text[], 'public', '', null, null, now() FROM users TABLESAMPLE SYSTEM (10) LIMIT 100
INSERT INTO /* pitches.create */ pitches
    (id, creator_id, title, logline, synopsis, genres, format, stage, release_year, cast_members, visibility,
     full_synopsis, budget_minor, budget_currency, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15)
