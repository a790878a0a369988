//! `pitchey db` against real databases.

use anyhow::{Context as _, Result};
use clap::Parser as _;
use pitchey_testkit::TestDb;
use pitchey_testkit::postgres_server::{execute, query_bool};
use serde_json::Value;
use std::path::Path;
use std::process::ExitCode;

/// Enough that reading all of them counts as reading a large table.
const MANY_USERS: &str =
    "INSERT INTO users (id, username, email, password_hash, role, display_name)
     SELECT gen_random_uuid(), 'u' || i, 'u' || i || '@example.com', 'x', 'creator', 'U'
     FROM generate_series(1, 12000) i;
     ANALYZE users";

/// Runs the command line as the program does; gives what it prints and how it ends.
async fn pitchey(database: &TestDb, arguments: &[&str]) -> Result<(String, ExitCode)> {
    let head = ["pitchey", "--database-url", database.url(), "db"];
    let cli = pitchey_ops::Cli::try_parse_from(head.iter().chain(arguments))?;
    let mut out = Vec::new();
    let code = pitchey_ops::run(cli, &mut out).await?;
    Ok((String::from_utf8(out)?, code))
}

async fn json(database: &TestDb, arguments: &[&str]) -> Result<(Value, ExitCode)> {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let (text, code) = pitchey(database, &arguments).await?;
    let value = serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))?;
    Ok((value, code))
}

async fn failure(database: &TestDb, arguments: &[&str]) -> Result<String> {
    match pitchey(database, arguments).await {
        Ok((text, _)) => anyhow::bail!("it went well: {text}"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

/// Findings as `kind subject`.
fn findings(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().into_iter().flatten();
    findings
        .map(|found| {
            let text = |key: &str| found[key].as_str().unwrap_or_default();
            format!("{} {}", text("kind"), text("subject"))
        })
        .collect()
}

#[tokio::test]
async fn an_empty_database_is_behind_until_it_is_migrated() -> Result<()> {
    let database = TestDb::empty().await;
    let (before, code) = json(&database, &["status"]).await?;
    assert_eq!(code, ExitCode::FAILURE);
    assert_eq!(before["current"], false);
    assert_eq!(before["migrations"][0]["applied"], false);
    assert_eq!(before["tables"], serde_json::json!([]));
    let problem = before["problem"].as_str().unwrap_or_default();
    assert!(problem.contains("pitchey db migrate"), "{problem}");

    let (text, code) = pitchey(&database, &["migrate"]).await?;
    assert_eq!(
        (text.as_str(), code),
        ("the database is up to date\n", ExitCode::SUCCESS)
    );

    let (after, code) = json(&database, &["status"]).await?;
    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(after["current"], true);
    assert_eq!(after["problem"], Value::Null);
    assert_eq!(after["last_import"], Value::Null);
    let (text, _) = pitchey(&database, &["status"]).await?;
    assert!(
        text.ends_with("the schema is the one of this build\n"),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn a_database_with_a_migration_of_a_newer_build_is_not_current() -> Result<()> {
    let database = TestDb::empty().await;
    pitchey(&database, &["migrate"]).await?;
    execute(
        database.url(),
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (29990101000000, 'later', true, '\\x00', 0)",
    )?;
    let (status, code) = json(&database, &["status"]).await?;
    assert_eq!(code, ExitCode::FAILURE);
    assert_eq!(
        status["unknown_migrations"],
        serde_json::json!([29_990_101_000_000_i64])
    );
    let (text, _) = pitchey(&database, &["status"]).await?;
    assert!(text.contains("UNKNOWN to this build"), "{text}");
    Ok(())
}

#[tokio::test]
async fn the_indexes_of_a_fresh_database_are_right() -> Result<()> {
    let database = TestDb::new().await;
    let (report, code) = json(&database, &["indexes", "verify"]).await?;
    assert_eq!(findings(&report), [""; 0]);
    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(report["unplanned"], serde_json::json!(["stats.refresh"]));
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_proved_on_an_empty_database_is_a_finding_when_strict() -> Result<()> {
    let database = TestDb::new().await;
    let verify = ["indexes", "verify", "--only", "analytics.by_kind"];
    let (report, code) = json(&database, &verify).await?;
    assert_eq!((findings(&report), code), (Vec::new(), ExitCode::SUCCESS));
    let (report, code) = json(&database, &[&verify[..], &["--strict"]].concat()).await?;
    assert_eq!(code, ExitCode::FAILURE);
    assert_eq!(findings(&report), ["not-provable analytics.by_kind"]);
    Ok(())
}

#[tokio::test]
async fn a_dropped_index_is_found_by_name_and_by_the_plan() -> Result<()> {
    let database = TestDb::new().await;
    execute(database.url(), MANY_USERS)?;
    let verify = ["indexes", "verify", "--only", "users.by_email"];
    let (report, code) = json(&database, &verify).await?;
    assert_eq!((findings(&report), code), (Vec::new(), ExitCode::SUCCESS));

    execute(database.url(), "DROP INDEX users_email")?;
    let (report, code) = json(&database, &verify).await?;
    assert_eq!(code, ExitCode::FAILURE);
    assert_eq!(
        findings(&report),
        [
            "sequential-scan users.by_email",
            "no-such-index users_email"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn an_index_that_nothing_needs_and_a_foreign_key_without_one_are_found() -> Result<()> {
    let database = TestDb::new().await;
    execute(
        database.url(),
        "CREATE INDEX users_bio ON users (bio);
         CREATE INDEX users_company ON users (company);
         COMMENT ON INDEX users_company IS 'users.by_company';
         DROP INDEX ndas_pitch;",
    )?;
    let (report, code) = json(&database, &["indexes", "verify", "--only", "health"]).await?;
    assert_eq!(code, ExitCode::FAILURE);
    assert_eq!(
        findings(&report),
        [
            "index-without-comment users_bio",
            "no-such-statement users_company",
            "unused-index users_company",
            "foreign-key-without-index ndas_pitch_id_fkey",
        ]
    );
    Ok(())
}

#[tokio::test]
async fn an_unknown_statement_is_refused() -> Result<()> {
    let database = TestDb::new().await;
    let error = failure(&database, &["indexes", "verify", "--only", "users.none"]).await?;
    assert_eq!(
        error,
        "there is no statement and no aggregate named users.none"
    );
    Ok(())
}

#[tokio::test]
async fn the_document_of_the_indexes_is_current() -> Result<()> {
    let database = TestDb::new().await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/INDEXES.md");
    let file = file.to_str().context("the path is text")?;
    let (text, code) = pitchey(&database, &["indexes", "doc", "--check", file]).await?;
    assert_eq!(
        code,
        ExitCode::SUCCESS,
        "{text}on a fresh database: pitchey db indexes doc > docs/INDEXES.md"
    );
    Ok(())
}

#[tokio::test]
async fn a_document_that_differs_fails_with_the_line() -> Result<()> {
    let database = TestDb::new().await;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), "# Indexes\nold\n")?;
    let path = file.path().to_str().context("the path is text")?;
    let (text, code) = pitchey(&database, &["indexes", "doc", "--check", path]).await?;
    assert_eq!(code, ExitCode::FAILURE);
    assert!(text.contains("line 2 should be\n"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_comparison_needs_a_copy_and_leaves_the_index_as_it_was() -> Result<()> {
    let database = TestDb::new().await;
    execute(database.url(), MANY_USERS)?;
    let compare = ["indexes", "compare", "--only", "users.by_email"];
    let error = failure(&database, &compare).await?;
    assert!(error.contains("--on-a-copy"), "{error}");

    let (report, code) = json(&database, &[&compare[..], &["--on-a-copy"]].concat()).await?;
    assert_eq!(code, ExitCode::SUCCESS);
    let row = &report["comparisons"][0];
    assert_eq!(row["index"], "users_email");
    assert_eq!(row["plan_with"], "Index Scan users_email");
    assert_eq!(row["plan_without"], "Seq Scan users");
    assert!(query_bool(
        database.url(),
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_email'::regclass"
    )?);
    Ok(())
}

#[tokio::test]
async fn a_bench_measures_and_writes_nothing_but_its_file() -> Result<()> {
    let database = TestDb::new().await;
    execute(
        database.url(),
        "INSERT INTO cache_outbox (tag, delivered_at) SELECT 'old', now() - interval '500 days'
         FROM generate_series(1, 10)",
    )?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("STATEMENTS.md");
    let path = file.to_str().context("the path is text")?;
    let (report, code) = json(
        &database,
        &[
            "bench",
            "--only",
            "outbox.cache_delivered",
            "--only",
            "health",
            "--runs",
            "2",
            "--markdown",
            path,
        ],
    )
    .await?;
    assert_eq!(code, ExitCode::SUCCESS);
    let rows = report["statements"].as_array().context("rows")?;
    let of = |key: &str| rows.iter().map(|row| row[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("statement"), ["health.ping", "outbox.cache_delivered"]);
    assert_eq!(of("class"), ["read", "write"]);
    assert!(query_bool(
        database.url(),
        "SELECT count(*) = 10 FROM cache_outbox"
    )?);
    let markdown = std::fs::read_to_string(&file)?;
    assert!(markdown.contains("| health.ping | read |"), "{markdown}");
    Ok(())
}

#[tokio::test]
async fn slow_says_how_to_have_the_figures() -> Result<()> {
    let database = TestDb::new().await;
    execute(
        database.url(),
        "DROP EXTENSION IF EXISTS pg_stat_statements",
    )?;
    let error = failure(&database, &["slow"]).await?;
    for needed in [
        "shared_preload_libraries",
        "CREATE EXTENSION pg_stat_statements",
    ] {
        assert!(error.contains(needed), "{error}");
    }
    Ok(())
}

/// The partitions of a table in a report.
fn partitions(report: &Value, table: &str) -> Vec<String> {
    let tables = report["tables"].as_array().into_iter().flatten();
    let partitions = tables
        .filter(|row| row["name"] == table)
        .filter_map(|row| row["partitions"].as_array())
        .flatten();
    partitions
        .filter_map(|partition| Some(partition["name"].as_str()?.to_owned()))
        .collect()
}

#[tokio::test]
async fn partitions_are_made_ahead_once() -> Result<()> {
    let database = TestDb::new().await;
    let (before, _) = json(&database, &["partitions", "list"]).await?;
    let count = partitions(&before, "rum_events").len();
    let ensure = ["partitions", "ensure", "--days", "10", "--months", "2"];
    let (report, code) = json(&database, &ensure).await?;
    assert_eq!(code, ExitCode::SUCCESS);
    let made = report["tables"][1]["made"].as_u64().unwrap_or_default();
    assert!(made >= 3, "the migration goes seven days ahead: {report}");
    let after = partitions(&report, "rum_events").len();
    assert_eq!(Some(after - count), made.try_into().ok());
    let (again, _) = json(&database, &ensure).await?;
    let tables = again["tables"].as_array().context("tables")?;
    assert!(tables.iter().all(|table| table["made"] == 0), "{again}");
    Ok(())
}

#[tokio::test]
async fn old_partitions_are_dropped_only_when_told_and_recent_ones_never() -> Result<()> {
    let database = TestDb::new().await;
    execute(
        database.url(),
        "SELECT ensure_partitions('rum_events', 'day', '2020-01-01', '2020-01-03');
         INSERT INTO rum_events (id, occurred_at, metric, value, route)
         VALUES (gen_random_uuid(), '2020-01-02 12:00Z', 'lcp', 1, '/')",
    )?;
    let old = ["rum_events_20200101", "rum_events_20200102"];
    let (shown, _) = json(&database, &["partitions", "prune"]).await?;
    assert_eq!(
        shown["tables"][1]["pruned"]["names"],
        serde_json::json!(old)
    );
    assert_eq!(shown["tables"][1]["pruned"]["applied"], false);
    assert_eq!(partitions(&shown, "rum_events")[..2], old);
    let recent = partitions(&shown, "rum_events")[2..].to_vec();

    let (pruned, code) = json(&database, &["partitions", "prune", "--apply"]).await?;
    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(pruned["tables"][1]["pruned"]["applied"], true);
    assert_eq!(partitions(&pruned, "rum_events"), recent);
    assert!(query_bool(
        database.url(),
        "SELECT to_regclass('rum_events_20200102') IS NULL"
    )?);
    Ok(())
}

#[tokio::test]
async fn refreshing_scores_what_was_viewed_and_copies_it_to_the_lists() -> Result<()> {
    let database = TestDb::new().await;
    execute(
        database.url(),
        "INSERT INTO users (id, username, role, display_name)
         VALUES ('00000000-0000-7000-8000-000000000001', 'ada', 'creator', 'Ada');
         INSERT INTO pitches (id, creator_id, title, genres, format, stage, status, published_at)
         SELECT ('00000000-0000-7000-8000-0000000000' || i)::uuid, '00000000-0000-7000-8000-000000000001',
                'Pitch', ARRAY['drama'], 'feature', 'script', 'published', now() - interval '30 days'
         FROM generate_series(11, 12) i;
         INSERT INTO pitch_views (pitch_id, day, viewer_key, viewed_at)
         SELECT '00000000-0000-7000-8000-000000000011', current_date, decode(md5(i::text), 'hex'), now()
         FROM generate_series(1, 5) i",
    )?;
    let (report, code) = json(&database, &["refresh-stats", "--since", "1d"]).await?;
    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(report["steps"].as_array().map(Vec::len), Some(4));
    assert!(query_bool(
        database.url(),
        "SELECT (SELECT min(trending_score) FROM pitch_listings WHERE pitch_id::text LIKE '%11')
              > (SELECT max(trending_score) FROM pitch_listings WHERE pitch_id::text LIKE '%12')
            AND (SELECT views FROM mv_pitch_stats WHERE pitch_id::text LIKE '%11') = 5"
    )?);
    Ok(())
}
