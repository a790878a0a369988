-- The whole schema of the marketplace.
-- Every index says which statement needs it; `docs/INDEXES.md` is generated from these comments.

CREATE EXTENSION IF NOT EXISTS unaccent;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS fuzzystrmatch;

-- `pitchey db slow` reads it; only a superuser may create it, and the product works without it.
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
    RAISE NOTICE 'pg_stat_statements is not available: %', SQLERRM;
END
$$;

-- Text search: English stems, accents folded.
CREATE TEXT SEARCH CONFIGURATION pitchey (COPY = english);
ALTER TEXT SEARCH CONFIGURATION pitchey
    ALTER MAPPING FOR asciiword, word, hword, asciihword, hword_part, hword_asciipart
    WITH unaccent, english_stem;

-- What two spellings of one title have in common: case, accents and punctuation folded.
-- `unaccent` with a named dictionary does not change at run time, hence IMMUTABLE.
CREATE FUNCTION title_key(title text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    RETURN trim(regexp_replace(lower(public.unaccent('public.unaccent'::regdictionary, title)),
                               '[^[:alnum:]]+', ' ', 'g'));

-- Facets as lexemes, so that "this word, in this genre" is one walk of the full-text index.
CREATE FUNCTION facet_lexemes(genres text[], format text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    RETURN array_to_tsvector(string_to_array('genre:' || array_to_string(genres, ',genre:'), ',')
                             || ('format:' || format));

-- `array_to_string` is only STABLE because of types whose output depends on settings; text has none.
CREATE FUNCTION cast_text(cast_members text[]) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    RETURN array_to_string(cast_members, ' , ');

-- The score of a pitch nobody has looked at: one view at the moment of its publication.
-- Scores are logarithms of sums that decay alike (forward decay, Cormode et al., ICDE 2009, half-life
-- three days), so their order does not change while nobody looks, and only what was viewed is written.
CREATE FUNCTION trending_base(published_at timestamptz) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    RETURN extract(epoch FROM published_at)::double precision / (3 * 86400);

-- ---------------------------------------------------------------------------------------------- users

CREATE TABLE users (
    id              uuid PRIMARY KEY,
    username        text NOT NULL,
    -- Imported and system accounts have neither address nor password: nobody signs in as them.
    email           text,
    password_hash   text,
    role            text NOT NULL,
    display_name    text NOT NULL,
    bio             text NOT NULL DEFAULT '',
    company         text NOT NULL DEFAULT '',
    location        text NOT NULL DEFAULT '',
    website         text,
    avatar_media_id uuid,
    failed_logins   integer NOT NULL DEFAULT 0,
    locked_until    timestamptz,
    locked_at       timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    deleted_at      timestamptz,
    version         bigint NOT NULL DEFAULT 1,
    CONSTRAINT users_username_shape CHECK (username ~ '^[a-z0-9](?:[a-z0-9_-]{0,38}[a-z0-9])?$'),
    CONSTRAINT users_email_shape CHECK (email = lower(email) AND length(email) BETWEEN 3 AND 254 AND email LIKE '%_@_%'),
    CONSTRAINT users_role_known CHECK (role IN ('creator', 'investor', 'production', 'admin')),
    CONSTRAINT users_display_name_length CHECK (length(display_name) BETWEEN 1 AND 80),
    CONSTRAINT users_bio_length CHECK (length(bio) <= 2000),
    CONSTRAINT users_company_length CHECK (length(company) <= 120),
    CONSTRAINT users_location_length CHECK (length(location) <= 120),
    CONSTRAINT users_website_length CHECK (length(website) <= 300),
    CONSTRAINT users_failed_logins_positive CHECK (failed_logins >= 0),
    CONSTRAINT users_version_positive CHECK (version > 0)
);
-- A name or an address stays taken after its account is deleted: nobody inherits another's name.
CREATE UNIQUE INDEX users_username ON users (username);
COMMENT ON INDEX users_username IS 'users.profile: a profile by its name';
CREATE UNIQUE INDEX users_email ON users (email) WHERE email IS NOT NULL;
COMMENT ON INDEX users_email IS 'users.by_email: sign-in';
CREATE INDEX users_avatar ON users (avatar_media_id) WHERE avatar_media_id IS NOT NULL;
COMMENT ON INDEX users_avatar IS 'foreign key: removing a medium';

CREATE TABLE sessions (
    id              uuid PRIMARY KEY,
    user_id         uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash      bytea NOT NULL,
    user_agent      text NOT NULL DEFAULT '',
    ip              inet,
    created_at      timestamptz NOT NULL DEFAULT now(),
    last_seen_at    timestamptz NOT NULL DEFAULT now(),
    idle_expires_at timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    revoked_at      timestamptz,
    CONSTRAINT sessions_token_is_sha256 CHECK (octet_length(token_hash) = 32),
    CONSTRAINT sessions_user_agent_length CHECK (length(user_agent) <= 512),
    CONSTRAINT sessions_expiry_order CHECK (created_at < expires_at AND idle_expires_at <= expires_at)
);
CREATE UNIQUE INDEX sessions_token ON sessions (token_hash);
COMMENT ON INDEX sessions_token IS 'sessions.by_token: every signed-in request';
CREATE INDEX sessions_of_user ON sessions (user_id, created_at DESC, id DESC) WHERE revoked_at IS NULL;
COMMENT ON INDEX sessions_of_user IS 'sessions.of_user: a user''s live sessions';
CREATE INDEX sessions_user ON sessions (user_id);
COMMENT ON INDEX sessions_user IS 'foreign key: removing a user';
CREATE INDEX sessions_expired ON sessions (expires_at);
COMMENT ON INDEX sessions_expired IS 'sessions.expired: clean-up';

-- ------------------------------------------------------------------------------------ pitches and lists

CREATE TABLE pitches (
    id              uuid PRIMARY KEY,
    creator_id      uuid NOT NULL REFERENCES users (id),
    -- The public part.
    title           text NOT NULL,
    logline         text NOT NULL DEFAULT '',
    synopsis        text NOT NULL DEFAULT '',
    genres          text[] NOT NULL DEFAULT '{}',
    format          text NOT NULL,
    stage           text NOT NULL,
    release_year    smallint,
    cast_members    text[] NOT NULL DEFAULT '{}',
    cover_media_id  uuid,
    -- The protected part: its creator, an admin, or the holder of an approved, unexpired NDA.
    -- It is not searched: a search that finds it word by word would give it away.
    full_synopsis   text NOT NULL DEFAULT '',
    budget_minor    bigint,
    budget_currency text,
    -- Life.
    status          text NOT NULL DEFAULT 'draft',
    visibility      text NOT NULL DEFAULT 'public',
    published_at    timestamptz,
    archived_at     timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    deleted_at      timestamptz,
    version         bigint NOT NULL DEFAULT 1,
    -- Figures, kept by batches; lists sort by the copies in `pitch_listings`.
    view_count      bigint NOT NULL DEFAULT 0,
    trending_score  double precision NOT NULL DEFAULT 0,
    search          tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('pitchey', title), 'A')
        || setweight(to_tsvector('pitchey', logline || ' ' || cast_text(cast_members)), 'B')
        || setweight(to_tsvector('pitchey', synopsis), 'C')
        || facet_lexemes(genres, format)
    ) STORED,
    CONSTRAINT pitches_title_length CHECK (length(title) BETWEEN 1 AND 200),
    CONSTRAINT pitches_logline_length CHECK (length(logline) <= 500),
    CONSTRAINT pitches_synopsis_length CHECK (length(synopsis) <= 5000),
    CONSTRAINT pitches_full_synopsis_length CHECK (length(full_synopsis) <= 50000),
    CONSTRAINT pitches_genres_known CHECK (cardinality(genres) <= 8 AND genres <@ ARRAY[
        'action', 'adventure', 'animated', 'biography', 'comedy', 'crime', 'dance', 'disaster',
        'documentary', 'drama', 'erotic', 'family', 'fantasy', 'found_footage', 'historical', 'horror',
        'independent', 'legal', 'live_action', 'martial_arts', 'musical', 'mystery', 'noir',
        'performance', 'political', 'romance', 'satire', 'science_fiction', 'short', 'silent',
        'slasher', 'sports', 'spy', 'superhero', 'supernatural', 'suspense', 'teen', 'thriller', 'war',
        'western']),
    CONSTRAINT pitches_format_known CHECK (format IN
        ('feature', 'short', 'series', 'limited_series', 'documentary', 'web_series')),
    CONSTRAINT pitches_stage_known CHECK (stage IN
        ('concept', 'treatment', 'script', 'packaging', 'pre_production', 'production',
         'post_production', 'completed')),
    CONSTRAINT pitches_status_known CHECK (status IN ('draft', 'published', 'archived')),
    CONSTRAINT pitches_visibility_known CHECK (visibility IN ('public', 'nda', 'private')),
    CONSTRAINT pitches_release_year_range CHECK (release_year BETWEEN 1870 AND 2200),
    CONSTRAINT pitches_cast_size CHECK (cardinality(cast_members) <= 100),
    CONSTRAINT pitches_budget_whole CHECK ((budget_minor IS NULL) = (budget_currency IS NULL)),
    CONSTRAINT pitches_budget_positive CHECK (budget_minor >= 0),
    CONSTRAINT pitches_budget_currency_shape CHECK (budget_currency ~ '^[A-Z]{3}$'),
    CONSTRAINT pitches_published_has_time CHECK (status <> 'published' OR published_at IS NOT NULL),
    CONSTRAINT pitches_archived_has_time CHECK (status <> 'archived' OR archived_at IS NOT NULL),
    CONSTRAINT pitches_counts_positive CHECK (view_count >= 0 AND version > 0)
) WITH (fillfactor = 90);
-- Ranking reads it for hundreds of rows: it stays in the row, and what is long moves out instead.
ALTER TABLE pitches ALTER COLUMN search SET STORAGE MAIN;
CREATE INDEX pitches_of_creator ON pitches (creator_id, updated_at DESC, id DESC) WHERE deleted_at IS NULL;
COMMENT ON INDEX pitches_of_creator IS 'pitches.of_creator: a creator''s own pitches, drafts included';
CREATE INDEX pitches_creator ON pitches (creator_id);
COMMENT ON INDEX pitches_creator IS 'foreign key: removing a user';
CREATE INDEX pitches_cover ON pitches (cover_media_id) WHERE cover_media_id IS NOT NULL;
COMMENT ON INDEX pitches_cover IS 'foreign key: removing a medium';
CREATE INDEX pitches_search ON pitches USING gin (search)
    WHERE status = 'published' AND visibility <> 'private' AND deleted_at IS NULL;
COMMENT ON INDEX pitches_search IS 'search.page: words anywhere in the public part';
CREATE INDEX pitches_title_search ON pitches USING gin ((to_tsvector('pitchey', title) || facet_lexemes(genres, format)))
    WHERE status = 'published' AND visibility <> 'private' AND deleted_at IS NULL;
COMMENT ON INDEX pitches_title_search IS 'search.page: words in the title, found before words elsewhere';
-- The same over one pitch in thirty-two, drawn by its id: enough for a word that is in tens of thousands.
CREATE INDEX pitches_search_sample ON pitches USING gin (search)
    WHERE status = 'published' AND visibility <> 'private' AND deleted_at IS NULL
      AND get_byte(uuid_send(id), 15) < 8;
COMMENT ON INDEX pitches_search_sample IS 'search.page: common words anywhere in the public part';
CREATE INDEX pitches_title_search_sample ON pitches
    USING gin ((to_tsvector('pitchey', title) || facet_lexemes(genres, format)))
    WHERE status = 'published' AND visibility <> 'private' AND deleted_at IS NULL
      AND get_byte(uuid_send(id), 15) < 8;
COMMENT ON INDEX pitches_title_search_sample IS 'search.page: common words in the title';
CREATE INDEX pitches_title_key ON pitches (title_key(title))
    WHERE status = 'published' AND visibility <> 'private' AND deleted_at IS NULL;
COMMENT ON INDEX pitches_title_key IS 'search.page: the very title, stop words and all';

-- What lists walk: one row per listed pitch and shelf, narrow, in the order of each sort.
-- A shelf is `all`, `public` (readable without an NDA) or a genre. Kept by the triggers below, so that no
-- writer can forget it; the scores are copied from `pitches` by `listings.refresh_scores`.
CREATE TABLE pitch_listings (
    shelf          text NOT NULL,
    pitch_id       uuid NOT NULL REFERENCES pitches (id) ON DELETE CASCADE,
    creator_id     uuid NOT NULL,
    format         text NOT NULL,
    stage          text NOT NULL,
    published_at   timestamptz NOT NULL,
    trending_score double precision NOT NULL,
    view_count     bigint NOT NULL,
    PRIMARY KEY (pitch_id, shelf)
);
CREATE INDEX pitch_listings_new ON pitch_listings (shelf, format, stage, published_at DESC, pitch_id DESC);
COMMENT ON INDEX pitch_listings_new IS 'pitches.browse_new: each format and stage in order';
CREATE INDEX pitch_listings_trending ON pitch_listings (shelf, format, stage, trending_score DESC, pitch_id DESC);
COMMENT ON INDEX pitch_listings_trending IS 'pitches.browse_trending';
CREATE INDEX pitch_listings_views ON pitch_listings (shelf, format, stage, view_count DESC, pitch_id DESC);
COMMENT ON INDEX pitch_listings_views IS 'pitches.browse_views';
CREATE INDEX pitch_listings_creator_new ON pitch_listings (creator_id, shelf, published_at DESC, pitch_id DESC) INCLUDE (format, stage);
COMMENT ON INDEX pitch_listings_creator_new IS 'pitches.creator_new';
CREATE INDEX pitch_listings_creator_trending ON pitch_listings (creator_id, shelf, trending_score DESC, pitch_id DESC) INCLUDE (format, stage);
COMMENT ON INDEX pitch_listings_creator_trending IS 'pitches.creator_trending';
CREATE INDEX pitch_listings_creator_views ON pitch_listings (creator_id, shelf, view_count DESC, pitch_id DESC) INCLUDE (format, stage);
COMMENT ON INDEX pitch_listings_creator_views IS 'pitches.creator_views';

-- The words of titles and names, for the correction of misspelt ones.
-- A word stays after its last pitch has gone: a correction towards it then finds nothing, no more.
CREATE TABLE search_words (
    word text PRIMARY KEY,
    CONSTRAINT search_words_length CHECK (length(word) BETWEEN 1 AND 64)
);
CREATE INDEX search_words_trigrams ON search_words USING gin (word gin_trgm_ops);
COMMENT ON INDEX search_words_trigrams IS 'search.correct: words that look alike';
-- A word and what is left of it without each of its letters: two words that are one slip apart share one.
CREATE FUNCTION word_deletes(word text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    RETURN ARRAY(SELECT left(word, i - 1) || substr(word, i + 1) FROM generate_series(1, length(word)) AS i) || word;
CREATE INDEX search_words_deletes ON search_words USING gin (word_deletes(word));
COMMENT ON INDEX search_words_deletes IS 'search.correct: words that are one slip apart';
CREATE INDEX search_words_initial ON search_words (left(word, 1), length(word));
COMMENT ON INDEX search_words_initial IS 'search.correct: short words, which share too few trigrams';

CREATE FUNCTION pitch_listings_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pitch_listings (shelf, pitch_id, creator_id, format, stage, published_at, trending_score, view_count)
    SELECT shelf, n.id, n.creator_id, n.format, n.stage, n.published_at,
           greatest(n.trending_score, trending_base(n.published_at)), n.view_count
    FROM new_rows n
    CROSS JOIN LATERAL unnest(n.genres || 'all'::text
        || CASE WHEN n.visibility = 'public' THEN ARRAY['public'] ELSE '{}' END) AS shelf
    WHERE n.status = 'published' AND n.visibility <> 'private' AND n.deleted_at IS NULL
    -- Sorted by shelf, the index pages of a large load are met in order.
    ORDER BY shelf, n.published_at, n.id;

    INSERT INTO search_words (word)
    SELECT DISTINCT left(word, 64)
    FROM new_rows n
    CROSS JOIN LATERAL regexp_split_to_table(
        title_key(n.title || ' ' || cast_text(n.cast_members)), ' ') AS word
    WHERE n.status = 'published' AND n.visibility <> 'private' AND n.deleted_at IS NULL AND word <> ''
    -- One order for all, so that two loads with the same words cannot deadlock.
    ORDER BY 1
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER pitch_listings_insert AFTER INSERT ON pitches
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION pitch_listings_insert();

CREATE FUNCTION pitch_listings_update() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed uuid[];
BEGIN
    -- Counting views touches none of these, and is then no work here.
    SELECT array_agg(n.id ORDER BY n.id) INTO changed
    FROM new_rows n JOIN old_rows o ON o.id = n.id
    WHERE (n.status, n.visibility, n.deleted_at IS NULL, n.published_at, n.genres, n.format, n.stage,
           n.creator_id, n.title, n.cast_members)
        IS DISTINCT FROM (o.status, o.visibility, o.deleted_at IS NULL, o.published_at, o.genres, o.format,
           o.stage, o.creator_id, o.title, o.cast_members);
    IF changed IS NULL THEN
        RETURN NULL;
    END IF;

    DELETE FROM pitch_listings l
    USING new_rows n
    WHERE l.pitch_id = n.id AND n.id = ANY (changed)
      AND (n.status <> 'published' OR n.visibility = 'private' OR n.deleted_at IS NOT NULL
           OR (l.shelf <> 'all' AND NOT (l.shelf = 'public' AND n.visibility = 'public')
               AND NOT l.shelf = ANY (n.genres)));

    INSERT INTO pitch_listings (shelf, pitch_id, creator_id, format, stage, published_at, trending_score, view_count)
    SELECT shelf, n.id, n.creator_id, n.format, n.stage, n.published_at,
           greatest(n.trending_score, trending_base(n.published_at)), n.view_count
    FROM new_rows n
    CROSS JOIN LATERAL unnest(n.genres || 'all'::text
        || CASE WHEN n.visibility = 'public' THEN ARRAY['public'] ELSE '{}' END) AS shelf
    WHERE n.id = ANY (changed)
      AND n.status = 'published' AND n.visibility <> 'private' AND n.deleted_at IS NULL
    ON CONFLICT (pitch_id, shelf) DO UPDATE
    SET creator_id = excluded.creator_id, format = excluded.format, stage = excluded.stage,
        published_at = excluded.published_at;

    INSERT INTO search_words (word)
    SELECT DISTINCT left(word, 64)
    FROM new_rows n
    CROSS JOIN LATERAL regexp_split_to_table(
        title_key(n.title || ' ' || cast_text(n.cast_members)), ' ') AS word
    WHERE n.id = ANY (changed)
      AND n.status = 'published' AND n.visibility <> 'private' AND n.deleted_at IS NULL AND word <> ''
    ORDER BY 1
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER pitch_listings_update AFTER UPDATE ON pitches
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION pitch_listings_update();

CREATE TABLE media (
    id           uuid PRIMARY KEY,
    owner_id     uuid NOT NULL REFERENCES users (id),
    pitch_id     uuid REFERENCES pitches (id),
    kind         text NOT NULL,
    -- The key in object storage, and the path below `/media/`.
    key          text NOT NULL,
    content_type text NOT NULL,
    byte_size    bigint NOT NULL,
    sha256       bytea NOT NULL,
    width        integer,
    height       integer,
    variants     jsonb NOT NULL DEFAULT '[]',
    created_at   timestamptz NOT NULL DEFAULT now(),
    deleted_at   timestamptz,
    CONSTRAINT media_kind_known CHECK (kind IN ('cover', 'avatar', 'attachment')),
    CONSTRAINT media_key_shape CHECK (key ~ '^[a-zA-Z0-9._/-]{1,200}$'),
    CONSTRAINT media_content_type_length CHECK (length(content_type) BETWEEN 3 AND 100),
    CONSTRAINT media_byte_size_bound CHECK (byte_size BETWEEN 1 AND 10485760),
    CONSTRAINT media_sha256_length CHECK (octet_length(sha256) = 32),
    CONSTRAINT media_dimensions_positive CHECK (width > 0 AND height > 0)
);
CREATE UNIQUE INDEX media_key ON media (key);
COMMENT ON INDEX media_key IS 'media.by_key: serving an image';
CREATE INDEX media_of_pitch ON media (pitch_id, created_at) WHERE pitch_id IS NOT NULL;
COMMENT ON INDEX media_of_pitch IS 'media.of_pitch: attachments of a pitch';
CREATE INDEX media_owner ON media (owner_id);
COMMENT ON INDEX media_owner IS 'foreign key: removing a user';
ALTER TABLE users ADD CONSTRAINT users_avatar_media_id_fkey FOREIGN KEY (avatar_media_id) REFERENCES media (id);
ALTER TABLE pitches ADD CONSTRAINT pitches_cover_media_id_fkey FOREIGN KEY (cover_media_id) REFERENCES media (id);

-- One row per viewer, pitch and day (UTC): the primary key is what counts a view once.
CREATE TABLE pitch_views (
    pitch_id   uuid NOT NULL REFERENCES pitches (id) ON DELETE CASCADE,
    day        date NOT NULL,
    -- A keyed hash of the account or of the client, 16 bytes.
    viewer_key bytea NOT NULL,
    viewed_at  timestamptz NOT NULL,
    PRIMARY KEY (pitch_id, day, viewer_key),
    CONSTRAINT pitch_views_viewer_key_length CHECK (octet_length(viewer_key) = 16)
);
CREATE INDEX pitch_views_time ON pitch_views USING brin (viewed_at) WITH (pages_per_range = 16, autosummarize = on);
COMMENT ON INDEX pitch_views_time IS 'trending.refresh: pitches viewed of late';

CREATE TABLE saved_pitches (
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    pitch_id   uuid NOT NULL REFERENCES pitches (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, pitch_id)
);
CREATE INDEX saved_pitches_of_user ON saved_pitches (user_id, created_at DESC, pitch_id DESC);
COMMENT ON INDEX saved_pitches_of_user IS 'saved.of_user: newest first';
CREATE INDEX saved_pitches_pitch ON saved_pitches (pitch_id);
COMMENT ON INDEX saved_pitches_pitch IS 'saved.count; foreign key: removing a pitch';

CREATE TABLE follows (
    follower_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    followed_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (follower_id, followed_id),
    CONSTRAINT follows_not_self CHECK (follower_id <> followed_id)
);
CREATE INDEX follows_following ON follows (follower_id, created_at DESC, followed_id DESC);
COMMENT ON INDEX follows_following IS 'follows.following: whom one follows';
CREATE INDEX follows_followers ON follows (followed_id, created_at DESC, follower_id DESC);
COMMENT ON INDEX follows_followers IS 'follows.followers, users.profile';

-- ---------------------------------------------------------------------------------- NDAs and interest

CREATE TABLE ndas (
    id           uuid PRIMARY KEY,
    pitch_id     uuid NOT NULL REFERENCES pitches (id),
    requester_id uuid NOT NULL REFERENCES users (id),
    -- The pitch's creator, repeated so that their list is one walk of an index.
    creator_id   uuid NOT NULL REFERENCES users (id),
    status       text NOT NULL DEFAULT 'requested',
    message      text NOT NULL DEFAULT '',
    decision     text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    decided_at   timestamptz,
    expires_at   timestamptz,
    version      bigint NOT NULL DEFAULT 1,
    CONSTRAINT ndas_status_known CHECK (status IN ('requested', 'approved', 'rejected', 'revoked')),
    CONSTRAINT ndas_message_length CHECK (length(message) <= 2000),
    CONSTRAINT ndas_decision_length CHECK (length(decision) <= 2000),
    CONSTRAINT ndas_decided_has_time CHECK ((status = 'requested') = (decided_at IS NULL)),
    CONSTRAINT ndas_approved_expires CHECK (status <> 'approved' OR expires_at IS NOT NULL),
    CONSTRAINT ndas_not_own CHECK (requester_id <> creator_id)
);
CREATE UNIQUE INDEX ndas_live ON ndas (pitch_id, requester_id) WHERE status IN ('requested', 'approved');
COMMENT ON INDEX ndas_live IS 'ndas.live: may this person read the protected part; one live NDA for a person and a pitch';
CREATE INDEX ndas_of_creator ON ndas (creator_id, created_at DESC, id DESC);
COMMENT ON INDEX ndas_of_creator IS 'ndas.of_creator';
CREATE INDEX ndas_of_requester ON ndas (requester_id, created_at DESC, id DESC);
COMMENT ON INDEX ndas_of_requester IS 'ndas.of_requester';
CREATE INDEX ndas_pitch ON ndas (pitch_id);
COMMENT ON INDEX ndas_pitch IS 'foreign key: removing a pitch';

CREATE TABLE investment_interests (
    id           uuid PRIMARY KEY,
    pitch_id     uuid NOT NULL REFERENCES pitches (id),
    investor_id  uuid NOT NULL REFERENCES users (id),
    creator_id   uuid NOT NULL REFERENCES users (id),
    status       text NOT NULL DEFAULT 'expressed',
    amount_minor bigint NOT NULL,
    currency     text NOT NULL,
    message      text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    decided_at   timestamptz,
    version      bigint NOT NULL DEFAULT 1,
    CONSTRAINT interests_status_known CHECK (status IN ('expressed', 'withdrawn', 'accepted', 'declined')),
    CONSTRAINT interests_amount_positive CHECK (amount_minor > 0),
    CONSTRAINT interests_currency_shape CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT interests_message_length CHECK (length(message) <= 2000),
    CONSTRAINT interests_decided_has_time CHECK ((status = 'expressed') = (decided_at IS NULL)),
    CONSTRAINT interests_not_own CHECK (investor_id <> creator_id)
);
CREATE UNIQUE INDEX interests_live ON investment_interests (pitch_id, investor_id) WHERE status IN ('expressed', 'accepted');
COMMENT ON INDEX interests_live IS 'interests.live: one live interest for a person and a pitch';
CREATE INDEX interests_of_creator ON investment_interests (creator_id, created_at DESC, id DESC);
COMMENT ON INDEX interests_of_creator IS 'interests.of_creator';
CREATE INDEX interests_of_investor ON investment_interests (investor_id, created_at DESC, id DESC);
COMMENT ON INDEX interests_of_investor IS 'interests.of_investor';
CREATE INDEX interests_pitch ON investment_interests (pitch_id);
COMMENT ON INDEX interests_pitch IS 'foreign key: removing a pitch';

CREATE TABLE notifications (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind       text NOT NULL,
    payload    jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    read_at    timestamptz,
    CONSTRAINT notifications_kind_known CHECK (kind IN
        ('nda_requested', 'nda_approved', 'nda_rejected', 'nda_revoked', 'interest_expressed',
         'interest_withdrawn', 'interest_accepted', 'interest_declined', 'pitch_published', 'followed'))
);
CREATE INDEX notifications_of_user ON notifications (user_id, created_at DESC, id DESC);
COMMENT ON INDEX notifications_of_user IS 'notifications.of_user';
CREATE INDEX notifications_unread ON notifications (user_id) WHERE read_at IS NULL;
COMMENT ON INDEX notifications_unread IS 'notifications.unread_count';

-- --------------------------------------------------------------------------------- events, partitioned

CREATE TABLE analytics_events (
    id          uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    kind        text NOT NULL,
    -- No foreign keys: events outlive what they are about, and must not wait for it.
    user_id     uuid,
    pitch_id    uuid,
    client_key  bytea,
    path        text NOT NULL DEFAULT '',
    payload     jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (occurred_at, id),
    CONSTRAINT analytics_events_kind_shape CHECK (kind ~ '^[a-z][a-z0-9_.]{0,63}$'),
    CONSTRAINT analytics_events_path_length CHECK (length(path) <= 512),
    CONSTRAINT analytics_events_payload_bound CHECK (pg_column_size(payload) <= 8192)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX analytics_events_time ON analytics_events USING brin (occurred_at) WITH (pages_per_range = 32, autosummarize = on);
COMMENT ON INDEX analytics_events_time IS 'analytics.by_kind: figures of a span of time';
CREATE INDEX analytics_events_pitch ON analytics_events (pitch_id, occurred_at DESC) WHERE pitch_id IS NOT NULL;
COMMENT ON INDEX analytics_events_pitch IS 'analytics.of_pitch: a creator''s figures';

CREATE TABLE rum_events (
    id            uuid NOT NULL,
    occurred_at   timestamptz NOT NULL,
    metric        text NOT NULL,
    value         double precision NOT NULL,
    route         text NOT NULL,
    edge_location text NOT NULL DEFAULT '',
    connection    text NOT NULL DEFAULT '',
    PRIMARY KEY (occurred_at, id),
    CONSTRAINT rum_events_metric_known CHECK (metric IN ('lcp', 'inp', 'cls', 'fcp', 'ttfb')),
    CONSTRAINT rum_events_value_range CHECK (value >= 0 AND value < 600000),
    CONSTRAINT rum_events_route_length CHECK (length(route) <= 128),
    CONSTRAINT rum_events_edge_location_length CHECK (length(edge_location) <= 16),
    CONSTRAINT rum_events_connection_length CHECK (length(connection) <= 16)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX rum_events_time ON rum_events USING brin (occurred_at) WITH (pages_per_range = 32, autosummarize = on);
COMMENT ON INDEX rum_events_time IS 'rum.percentiles: figures of a span of time';

-- Creates the partitions of `parent` that cover [from_time, to_time); those that exist stay as they are.
-- `step` is `month` or `day`. Returns how many were made.
CREATE FUNCTION ensure_partitions(parent text, step text, from_time timestamptz, to_time timestamptz)
    RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    lower_bound timestamptz := date_trunc(step, from_time, 'UTC');
    upper_bound timestamptz;
    name text;
    made integer := 0;
BEGIN
    IF step NOT IN ('month', 'day') THEN
        RAISE EXCEPTION 'step must be month or day, not %', step;
    END IF;
    WHILE lower_bound < to_time LOOP
        upper_bound := ((lower_bound AT TIME ZONE 'UTC') + ('1 ' || step)::interval) AT TIME ZONE 'UTC';
        name := parent || '_' || to_char(lower_bound AT TIME ZONE 'UTC',
            CASE step WHEN 'month' THEN 'YYYYMM' ELSE 'YYYYMMDD' END);
        IF to_regclass(quote_ident(name)) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                name, parent, lower_bound, upper_bound);
            made := made + 1;
        END IF;
        lower_bound := upper_bound;
    END LOOP;
    RETURN made;
END
$$;
SELECT ensure_partitions('analytics_events', 'month', now() - interval '1 month', now() + interval '2 months');
SELECT ensure_partitions('rum_events', 'day', now() - interval '1 day', now() + interval '7 days');

-- ------------------------------------------------------------------------------------------- machinery

CREATE TABLE cache_outbox (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tag          text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    CONSTRAINT cache_outbox_tag_length CHECK (length(tag) BETWEEN 1 AND 128)
);
CREATE INDEX cache_outbox_pending ON cache_outbox (id) WHERE delivered_at IS NULL;
COMMENT ON INDEX cache_outbox_pending IS 'outbox.cache_pending';
CREATE INDEX cache_outbox_delivered ON cache_outbox (delivered_at) WHERE delivered_at IS NOT NULL;
COMMENT ON INDEX cache_outbox_delivered IS 'outbox.cache_delivered: removal after a day';

CREATE TABLE event_outbox (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    aggregate_kind text NOT NULL,
    aggregate_id   uuid NOT NULL,
    event_kind     text NOT NULL,
    payload        jsonb NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    delivered_at   timestamptz,
    attempts       integer NOT NULL DEFAULT 0,
    CONSTRAINT event_outbox_kinds_length CHECK (length(aggregate_kind) <= 64 AND length(event_kind) <= 64)
);
CREATE INDEX event_outbox_pending ON event_outbox (aggregate_id, id) WHERE delivered_at IS NULL;
COMMENT ON INDEX event_outbox_pending IS 'outbox.event_pending: in order for each aggregate';
CREATE INDEX event_outbox_delivered ON event_outbox (delivered_at) WHERE delivered_at IS NOT NULL;
COMMENT ON INDEX event_outbox_delivered IS 'outbox.event_delivered: removal after a day';

CREATE TABLE idempotency_keys (
    user_id          uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key              text NOT NULL,
    request_hash     bytea NOT NULL,
    -- Null while the first request is in flight.
    response_status  smallint,
    response_headers jsonb,
    response_body    bytea,
    created_at       timestamptz NOT NULL DEFAULT now(),
    expires_at       timestamptz NOT NULL,
    PRIMARY KEY (user_id, key),
    CONSTRAINT idempotency_keys_key_length CHECK (length(key) BETWEEN 1 AND 128),
    CONSTRAINT idempotency_keys_hash_length CHECK (octet_length(request_hash) = 32)
);
CREATE INDEX idempotency_keys_expired ON idempotency_keys (expires_at);
COMMENT ON INDEX idempotency_keys_expired IS 'idempotency.expired: clean-up';

CREATE TABLE audit_log (
    id           uuid PRIMARY KEY,
    actor_id     uuid REFERENCES users (id),
    action       text NOT NULL,
    subject_kind text NOT NULL,
    subject_id   uuid,
    detail       jsonb NOT NULL DEFAULT '{}',
    ip           inet,
    request_id   text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT audit_log_action_length CHECK (length(action) BETWEEN 1 AND 64),
    CONSTRAINT audit_log_request_id_length CHECK (length(request_id) <= 64)
);
CREATE INDEX audit_log_time ON audit_log (created_at DESC, id DESC);
COMMENT ON INDEX audit_log_time IS 'audit.tail';
CREATE INDEX audit_log_actor ON audit_log (actor_id, created_at DESC) WHERE actor_id IS NOT NULL;
COMMENT ON INDEX audit_log_actor IS 'audit.of_actor; foreign key: removing a user';
CREATE INDEX audit_log_subject ON audit_log (subject_id, created_at DESC) WHERE subject_id IS NOT NULL;
COMMENT ON INDEX audit_log_subject IS 'audit.of_subject';

-- A run of `pitchey import`, and where to go on after it was cut off.
CREATE TABLE imports (
    id          uuid PRIMARY KEY,
    source      text NOT NULL,
    -- SHA-256 of the file, null when it was read from a pipe.
    file_sha256 bytea,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    -- The last line of the file whose effect is committed.
    lines_done  bigint NOT NULL DEFAULT 0,
    created     bigint NOT NULL DEFAULT 0,
    updated     bigint NOT NULL DEFAULT 0,
    unchanged   bigint NOT NULL DEFAULT 0,
    rejected    bigint NOT NULL DEFAULT 0,
    CONSTRAINT imports_source_length CHECK (length(source) BETWEEN 1 AND 64),
    CONSTRAINT imports_file_hash_length CHECK (octet_length(file_sha256) = 32)
);
CREATE INDEX imports_unfinished ON imports (source, file_sha256, started_at DESC) WHERE finished_at IS NULL;
COMMENT ON INDEX imports_unfinished IS 'imports.resume: where a run that was cut off goes on';

-- What a foreign record became: the natural key makes a second run change nothing.
CREATE TABLE import_records (
    source       text NOT NULL,
    natural_key  text NOT NULL,
    pitch_id     uuid NOT NULL REFERENCES pitches (id) ON DELETE CASCADE,
    -- SHA-256 of the mapped record: equal means unchanged.
    content_hash bytea NOT NULL,
    PRIMARY KEY (source, natural_key),
    CONSTRAINT import_records_key_length CHECK (length(natural_key) BETWEEN 1 AND 1000),
    CONSTRAINT import_records_hash_length CHECK (octet_length(content_hash) = 32)
);
CREATE INDEX import_records_pitch ON import_records (pitch_id);
COMMENT ON INDEX import_records_pitch IS 'foreign key: removing a pitch';

-- Figures of a pitch for dashboards, refreshed concurrently on a schedule.
CREATE MATERIALIZED VIEW mv_pitch_stats AS
SELECT p.id AS pitch_id,
       p.creator_id,
       coalesce(v.views, 0) AS views,
       coalesce(v.views_7d, 0) AS views_7d,
       coalesce(s.saves, 0) AS saves,
       coalesce(n.ndas_requested, 0) AS ndas_requested,
       coalesce(n.ndas_approved, 0) AS ndas_approved,
       coalesce(i.interests, 0) AS interests
FROM pitches p
LEFT JOIN (SELECT pitch_id, count(*) AS views,
                  count(*) FILTER (WHERE viewed_at >= now() - interval '7 days') AS views_7d
           FROM pitch_views GROUP BY pitch_id) v ON v.pitch_id = p.id
LEFT JOIN (SELECT pitch_id, count(*) AS saves FROM saved_pitches GROUP BY pitch_id) s ON s.pitch_id = p.id
LEFT JOIN (SELECT pitch_id, count(*) AS ndas_requested,
                  count(*) FILTER (WHERE status = 'approved') AS ndas_approved
           FROM ndas GROUP BY pitch_id) n ON n.pitch_id = p.id
LEFT JOIN (SELECT pitch_id, count(*) FILTER (WHERE status IN ('expressed', 'accepted')) AS interests
           FROM investment_interests GROUP BY pitch_id) i ON i.pitch_id = p.id
WHERE p.deleted_at IS NULL
WITH NO DATA;
CREATE UNIQUE INDEX mv_pitch_stats_pitch ON mv_pitch_stats (pitch_id);
COMMENT ON INDEX mv_pitch_stats_pitch IS 'stats.of_pitch; REFRESH … CONCURRENTLY needs it';
CREATE INDEX mv_pitch_stats_creator ON mv_pitch_stats (creator_id);
COMMENT ON INDEX mv_pitch_stats_creator IS 'stats.of_creator';
REFRESH MATERIALIZED VIEW mv_pitch_stats;
