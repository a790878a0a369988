//! `pitchey seed`: the same every time, whole or not at all, and true to the rules of the site.

use pitchey_model::event::Notice;
use pitchey_ops::Interrupt;
use pitchey_ops::seed::{SeedOptions, clean_up, seed};
use pitchey_runtime::{Clock as _, SystemRuntime};
use pitchey_store_pg::bulk::BulkConnection;
use pitchey_testkit::TestDb;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio_postgres::{Client, NoTls};

const TABLES: &[&str] = &[
    "users",
    "pitches",
    "pitch_listings",
    "pitch_views",
    "saved_pitches",
    "follows",
    "ndas",
    "investment_interests",
    "notifications",
    "sessions",
    "search_words",
    "analytics_events",
    "rum_events",
    // Not the views of the last seven days, which depend on the moment.
    "(SELECT pitch_id, creator_id, views, saves, ndas_requested, ndas_approved, interests FROM mv_pitch_stats)",
];

struct Bench {
    database: TestDb,
    client: Client,
    _connection: tokio::task::JoinHandle<()>,
}

impl Bench {
    async fn new() -> Self {
        let database = TestDb::new().await;
        let (client, connection) = tokio_postgres::connect(database.url(), NoTls)
            .await
            .expect("the test database answers");
        let connection = tokio::spawn(async {
            let _ = connection.await;
        });
        Self {
            database,
            client,
            _connection: connection,
        }
    }

    async fn seed(&self, options: &SeedOptions) -> anyhow::Result<bool> {
        let url = self.database.url().into();
        let report = seed(options, &url, SystemRuntime::new(), Interrupt::never()).await?;
        Ok(report.is_some())
    }

    async fn text(&self, query: &str) -> String {
        let row = self.client.query_one(query, &[]).await;
        row.expect("the query is right").get(0)
    }

    async fn number(&self, query: &str) -> i64 {
        let row = self.client.query_one(query, &[]).await;
        row.expect("the query is right").get(0)
    }

    /// How many rows each table has, and a hash of them.
    async fn content(&self) -> BTreeMap<&'static str, (i64, String)> {
        let mut content = BTreeMap::new();
        for table in TABLES {
            let query = format!(
                "SELECT count(*), coalesce(md5(string_agg(t::text, '' ORDER BY t::text)), '') FROM {table} t"
            );
            let row = self
                .client
                .query_one(&query, &[])
                .await
                .expect("the query is right");
            content.insert(*table, (row.get(0), row.get(1)));
        }
        content
    }

    async fn rows(&self) -> i64 {
        self.content().await.values().map(|(rows, _)| rows).sum()
    }

    /// Every index, constraint and trigger, with comments and states; partitions come and go.
    async fn catalog(&self) -> BTreeSet<String> {
        let lines = self.text(
            "SELECT string_agg(line, E'\n') FROM (
                 SELECT concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid, obj_description(indexrelid)) AS line
                 FROM pg_index JOIN pg_class c ON c.oid = indrelid
                 WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition
                 UNION ALL
                 SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated, obj_description(oid))
                 FROM pg_constraint WHERE connamespace = 'public'::regnamespace
                 AND conrelid NOT IN (SELECT oid FROM pg_class WHERE relispartition)
                 UNION ALL
                 SELECT concat_ws(' ', pg_get_triggerdef(oid), tgenabled) FROM pg_trigger WHERE NOT tgisinternal
                 UNION ALL
                 SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND NOT relispartition
             ) lines",
        )
        .await;
        lines.lines().map(str::to_owned).collect()
    }

    /// Fails with what is missing and what is new since `before`.
    async fn assert_catalog(&self, before: &BTreeSet<String>) {
        let after = self.catalog().await;
        let differences: Vec<_> = before.symmetric_difference(&after).collect();
        assert!(differences.is_empty(), "{differences:#?}");
    }

    /// Waits until a load has taken the indexes off.
    async fn bare(&self) {
        let probe = "SELECT to_regclass('bulk_load_in_progress') IS NOT NULL AND EXISTS (SELECT FROM pg_stat_activity
                     WHERE datname = current_database() AND query LIKE 'COPY pitch%' AND state = 'active')";
        let seen = async {
            loop {
                let row = self
                    .client
                    .query_one(probe, &[])
                    .await
                    .expect("the query is right");
                if row.get(0) {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), seen)
            .await
            .expect("the load begins");
    }
}

fn small() -> SeedOptions {
    let now = SystemRuntime::new().wall();
    SeedOptions {
        users: 100,
        ..SeedOptions::new(600, now)
    }
}

fn bare(options: &SeedOptions) -> SeedOptions {
    SeedOptions {
        bare_from: 0,
        streams: 3,
        ..options.clone()
    }
}

#[tokio::test]
async fn a_seed_is_the_same_in_one_transaction_and_in_bare_tables() {
    let (one, two) = (Bench::new().await, Bench::new().await);
    let catalog = two.catalog().await;
    let options = small();
    one.seed(&options).await.expect("it loads");
    two.seed(&bare(&options)).await.expect("it loads");
    let content = one.content().await;
    assert_eq!(two.content().await, content);
    for (table, (rows, _)) in &content {
        assert!(*rows > 0, "{table} is empty");
    }
    // Everything that was taken off is back.
    two.assert_catalog(&catalog).await;

    let three = Bench::new().await;
    let other = SeedOptions { seed: 2, ..options };
    three.seed(&other).await.expect("it loads");
    let other = three.content().await;
    for table in TABLES {
        assert_ne!(other[table].1, content[table].1, "{table}");
    }
}

#[tokio::test]
async fn the_data_keep_the_rules_of_the_site() {
    let bench = Bench::new().await;
    bench.seed(&small()).await.expect("it loads");
    let wrong: &[(&str, &str)] = &[
        (
            "a listed pitch is on each of its shelves and no other is on any",
            "WITH expected AS (
                 SELECT id, unnest(genres || 'all'::text || CASE visibility WHEN 'public' THEN '{public}' ELSE '{}' END::text[]) AS shelf
                 FROM pitches WHERE status = 'published' AND visibility <> 'private' AND deleted_at IS NULL)
             SELECT count(*) FROM expected FULL JOIN pitch_listings l ON l.pitch_id = id AND l.shelf = expected.shelf
             WHERE id IS NULL OR l.pitch_id IS NULL",
        ),
        (
            "lists sort by what the pitch says",
            "SELECT count(*) FROM pitch_listings l JOIN pitches p ON p.id = l.pitch_id
             WHERE (l.creator_id, l.format, l.stage, l.published_at, l.view_count)
                 IS DISTINCT FROM (p.creator_id, p.format, p.stage, p.published_at, p.view_count)
                OR l.trending_score < p.trending_score",
        ),
        (
            "views are counted once each",
            "SELECT count(*) FROM pitches p WHERE view_count <> (SELECT count(*) FROM pitch_views v WHERE v.pitch_id = p.id)",
        ),
        (
            "a view has the day of its time and comes while the pitch is on the site",
            "SELECT count(*) FROM pitch_views v JOIN pitches p ON p.id = v.pitch_id
             WHERE (viewed_at AT TIME ZONE 'UTC')::date <> day OR viewed_at < published_at OR viewed_at > archived_at",
        ),
        (
            "nobody asks for, buys or saves their own",
            "SELECT (SELECT count(*) FROM ndas n JOIN pitches p ON p.id = n.pitch_id
                     WHERE n.requester_id = p.creator_id OR n.creator_id <> p.creator_id)
                  + (SELECT count(*) FROM investment_interests i JOIN pitches p ON p.id = i.pitch_id
                     WHERE i.investor_id = p.creator_id OR i.creator_id <> p.creator_id)
                  + (SELECT count(*) FROM saved_pitches s JOIN pitches p ON p.id = s.pitch_id WHERE s.user_id = p.creator_id)",
        ),
        (
            "only pitches that need an NDA have one",
            "SELECT count(*) FROM ndas n JOIN pitches p ON p.id = n.pitch_id WHERE p.visibility <> 'nda'",
        ),
        (
            "everyone does what their role is for",
            "SELECT (SELECT count(*) FROM pitches p JOIN users u ON u.id = p.creator_id WHERE u.role <> 'creator')
                  + (SELECT count(*) FROM investment_interests i JOIN users u ON u.id = i.investor_id WHERE u.role <> 'investor')
                  + (SELECT count(*) FROM ndas n JOIN users u ON u.id = n.requester_id WHERE u.role NOT IN ('investor', 'production'))",
        ),
        (
            "nobody can sign in",
            "SELECT count(*) FROM users WHERE password_hash IS NOT NULL",
        ),
        (
            "nothing happens before its time or in the future",
            "SELECT (SELECT count(*) FROM pitches p JOIN users u ON u.id = p.creator_id
                     WHERE p.created_at < u.created_at OR p.published_at < p.created_at OR p.updated_at < p.created_at
                        OR greatest(p.published_at, p.archived_at, p.updated_at, p.deleted_at) > now())
                  + (SELECT count(*) FROM ndas WHERE decided_at < created_at OR greatest(created_at, decided_at) > now())
                  + (SELECT count(*) FROM notifications WHERE read_at < created_at OR greatest(created_at, read_at) > now())
                  + (SELECT count(*) FROM analytics_events WHERE occurred_at > now())
                  + (SELECT count(*) FROM rum_events WHERE occurred_at > now())",
        ),
        (
            "a notification is about something that is there",
            "SELECT count(*) FROM notifications n
             WHERE payload ? 'pitch_id' AND NOT EXISTS (SELECT FROM pitches WHERE id = (payload->>'pitch_id')::uuid)
                OR payload ? 'nda_id' AND NOT EXISTS (SELECT FROM ndas WHERE id = (payload->>'nda_id')::uuid)
                OR payload ? 'interest_id' AND NOT EXISTS (SELECT FROM investment_interests WHERE id = (payload->>'interest_id')::uuid)
                OR payload ? 'user_id' AND NOT EXISTS (SELECT FROM follows
                    WHERE follower_id = (payload->>'user_id')::uuid AND followed_id = n.user_id)",
        ),
    ];
    for (rule, query) in wrong {
        assert_eq!(bench.number(query).await, 0, "{rule}");
    }
    let listed = "SELECT count(DISTINCT pitch_id) * 100 / (SELECT count(*) FROM pitches) FROM pitch_listings";
    let listed = bench.number(listed).await;
    assert!((80..=90).contains(&listed), "{listed} % are listed");
    let per_pitch = bench
        .number("SELECT sum(view_count)::bigint / count(*) FROM pitches")
        .await;
    assert!(per_pitch >= 3, "{per_pitch} views for each pitch");
}

#[tokio::test]
async fn every_word_of_every_vocabulary_occurs() {
    let bench = Bench::new().await;
    let options = SeedOptions {
        pitches: 2_000,
        ..small()
    };
    bench.seed(&options).await.expect("it loads");
    // The words are those of the check constraints.
    let checks = bench
        .client
        .query(
            "SELECT conrelid::regclass::text, a.attname::text,
                    ARRAY(SELECT m[1] FROM regexp_matches(pg_get_constraintdef(k.oid), '''([a-z_]+)''', 'g') AS m)
             FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = conkey[1]
             WHERE conname LIKE '%\\_known' AND cardinality(conkey) = 1 AND conparentid = 0 AND conrelid::regclass::text <> 'media'
               AND NOT (SELECT relispartition FROM pg_class WHERE oid = conrelid)",
            &[],
        )
        .await
        .expect("the query is right");
    assert!(checks.len() >= 9, "{}", checks.len());
    for check in checks {
        let (table, column): (String, String) = (check.get(0), check.get(1));
        let words: Vec<String> = check.get(2);
        assert!(words.len() > 1, "{table}.{column}");
        for word in words {
            let query = format!("SELECT count(*) FROM {table} WHERE to_jsonb({column}) ? '{word}'");
            assert!(bench.number(&query).await > 0, "{table}.{column} = {word}");
        }
    }
    let states = "SELECT count(DISTINCT (expires_at < now(), revoked_at IS NULL)) FROM sessions";
    assert!(bench.number(states).await >= 3);
    let lapsed = "SELECT count(*) FROM ndas WHERE status = 'approved' AND expires_at < now()";
    assert!(bench.number(lapsed).await > 0);
}

#[tokio::test]
async fn notifications_say_who_did_what_to_what() {
    let bench = Bench::new().await;
    bench.seed(&small()).await.expect("it loads");
    let told = "SELECT n.kind, n.payload::text, p.title FROM notifications n
                LEFT JOIN pitches p ON p.id = (n.payload->>'pitch_id')::uuid";
    let rows = bench.client.query(told, &[]).await.expect("it can be read");
    assert!(rows.len() > 20, "{}", rows.len());
    for row in rows {
        let (kind, payload): (String, String) = (row.get(0), row.get(1));
        let notice: Notice = serde_json::from_str(&payload).expect("it is a notice");
        assert_eq!(notice.pitch_title, row.get(2), "{payload}");
        assert_eq!(
            notice.nda_id.is_some(),
            kind.starts_with("nda_"),
            "{payload}"
        );
        let interest = kind.starts_with("interest_");
        assert_eq!(notice.interest_id.is_some(), interest, "{payload}");
    }
    let strangers = "SELECT count(*) FROM notifications n WHERE NOT EXISTS
                     (SELECT FROM users u WHERE u.username = n.payload->>'username' AND u.display_name = n.payload->>'display_name')";
    assert_eq!(bench.number(strangers).await, 0);
}

#[tokio::test]
async fn scores_are_those_that_the_scheduled_statement_computes() {
    let bench = Bench::new().await;
    bench.seed(&small()).await.expect("it loads");
    let scores = "CREATE TEMP TABLE before AS SELECT id, trending_score FROM pitches";
    bench
        .client
        .batch_execute(scores)
        .await
        .expect("the query is right");
    let statement = pitchey_sql::statement("trending.refresh")
        .expect("it is there")
        .text;
    bench
        .client
        .batch_execute(&statement.replace("$1", "now() - interval '28 days'"))
        .await
        .expect("the statement runs");
    let moved = "SELECT count(*) FROM pitches JOIN before b USING (id) WHERE abs(pitches.trending_score - b.trending_score) > 1e-6";
    assert_eq!(bench.number(moved).await, 0);
    let touched =
        "SELECT count(*) FROM pitches p WHERE trending_score > trending_base(published_at) + 0.01";
    assert!(bench.number(touched).await > 50);
}

#[tokio::test]
async fn a_database_with_rows_is_left_alone_unless_forced() {
    let bench = Bench::new().await;
    bench.seed(&small()).await.expect("it loads");
    let rows = bench.rows().await;
    let other = SeedOptions {
        seed: 2,
        ..bare(&small())
    };
    let error = bench.seed(&other).await.expect_err("there are rows");
    assert!(error.to_string().contains("not empty"), "{error}");
    assert_eq!(bench.rows().await, rows);

    let forced = SeedOptions {
        force: true,
        ..other
    };
    bench.seed(&forced).await.expect("it adds");
    assert_eq!(bench.number("SELECT count(*) FROM pitches").await, 1200);
    // The same again is a conflict, and stays without effect.
    let rows = bench.rows().await;
    bench
        .seed(&forced)
        .await
        .expect_err("those are there already");
    assert_eq!(bench.rows().await, rows);
}

#[tokio::test]
async fn a_load_that_fails_leaves_nothing() {
    let bench = Bench::new().await;
    let catalog = bench.catalog().await;
    let options = SeedOptions {
        pitches: 20_000,
        ..bare(&small())
    };
    let cut = async {
        bench.bare().await;
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'pitchey bulk'";
        bench.number(cut).await
    };
    let (result, cut) = tokio::join!(bench.seed(&options), cut);
    let error = result.expect_err("its sessions were ended");
    assert!(
        cut > 0 && error.to_string().contains("nothing of it stays"),
        "{error:#}"
    );
    assert_eq!(bench.rows().await, 0);
    bench.assert_catalog(&catalog).await;
}

#[tokio::test]
async fn a_load_that_was_killed_is_put_right_by_the_next_run() {
    let bench = Bench::new().await;
    let catalog = bench.catalog().await;
    let options = SeedOptions {
        pitches: 20_000,
        ..bare(&small())
    };
    // Dropped in the middle, as by `kill -9`: nobody cleans up.
    tokio::select! {
        _ = bench.seed(&options) => panic!("it ends too soon to be cut off"),
        () = bench.bare() => {}
    }
    let url = bench.database.url().into();
    // Its sessions may not have noticed yet, and hold the lock.
    let mut database = BulkConnection::open(&url)
        .await
        .expect("the database answers");
    let left: Vec<i32> = bench
        .client
        .query("SELECT pid FROM pg_stat_activity WHERE application_name = 'pitchey bulk' AND pid <> $1", &[&database.backend()])
        .await
        .expect("the query is right")
        .iter()
        .map(|row| row.get(0))
        .collect();
    database.end_sessions(&left).await.expect("they end");
    assert_ne!(bench.catalog().await, catalog);
    assert!(clean_up(&url).await.expect("it can be put right"));
    bench.assert_catalog(&catalog).await;
    assert_eq!(bench.rows().await, 0);
    assert!(!clean_up(&url).await.expect("nothing is left"));
    bench.seed(&bare(&small())).await.expect("it loads");
}
