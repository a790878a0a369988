-- name: pitches.update
-- for: a pitch as it is now: which, at which version, title, logline, synopsis, genres, format, stage, year, cast, visibility, full synopsis, budget, its currency, status, published when, archived when, when, its version now
-- index: pitches_pkey
-- sample: SELECT id, version, title, logline, synopsis, genres, format, stage, release_year, cast_members, visibility, full_synopsis, budget_minor, budget_currency, status, published_at, archived_at, now(), version + 1 FROM pitches TABLESAMPLE SYSTEM (1) LIMIT 100
UPDATE /* pitches.update */ pitches
SET title = $3, logline = $4, synopsis = $5, genres = $6, format = $7, stage = $8, release_year = $9,
    cast_members = $10, visibility = $11, full_synopsis = $12, budget_minor = $13, budget_currency = $14,
    status = $15, published_at = $16, archived_at = $17, updated_at = $18, version = $19
WHERE id = $1 AND version = $2 AND deleted_at IS NULL
