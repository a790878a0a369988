//! A database for each test: apart from all others, with the current schema, gone afterwards.

use anyhow::{Context as _, Result};
use pitchey_testkit::postgres_server::{execute, query_bool};
use pitchey_testkit::provision::shared_postgres;
use pitchey_testkit::{Program, TestDb, TestRedis};
use std::time::Duration;

fn exists(name: &str) -> Result<bool> {
    let query = format!("SELECT EXISTS (SELECT FROM pg_database WHERE datname = '{name}')");
    query_bool(shared_postgres()?.url(), &query)
}

#[tokio::test]
async fn a_database_has_the_schema_and_is_dropped_with_its_handle() -> Result<()> {
    let database = TestDb::new().await;
    assert!(query_bool(
        database.url(),
        "SELECT count(*) = 0 FROM pitches"
    )?);
    let name = database.name().to_owned();
    assert!(exists(&name)?);
    drop(database);
    assert!(!exists(&name)?);
    Ok(())
}

#[tokio::test]
async fn a_database_is_dropped_although_somebody_is_connected() -> Result<()> {
    let database = TestDb::new().await;
    let name = database.name().to_owned();
    let connected = tokio_postgres::connect(database.url(), tokio_postgres::NoTls).await?;
    drop(database);
    assert!(!exists(&name)?);
    drop(connected);
    Ok(())
}

#[tokio::test]
async fn two_tests_do_not_see_each_others_rows() -> Result<()> {
    let (one, other) = tokio::join!(TestDb::new(), TestDb::new());
    execute(one.url(), "CREATE TABLE mine (id int)")?;
    assert!(query_bool(
        other.url(),
        "SELECT to_regclass('mine') IS NULL"
    )?);
    Ok(())
}

#[tokio::test]
async fn an_empty_database_has_no_tables() -> Result<()> {
    let database = TestDb::empty().await;
    let query = "SELECT count(*) = 0 FROM pg_tables WHERE schemaname = 'public'";
    assert!(query_bool(database.url(), query)?);
    Ok(())
}

#[tokio::test]
async fn a_leftover_of_a_killed_run_is_swept_by_the_next_process() -> Result<()> {
    let database = TestDb::new().await;
    let server = shared_postgres()?.url();
    // Nobody holds the lock of this one, as after a kill.
    let leftover = format!("pitchey_test_0_{}", std::process::id());
    execute(server, &format!("CREATE DATABASE {leftover}"))?;

    // The next process: this very binary, with a test that needs a database.
    let own = std::env::current_exe()?;
    let output = tokio::process::Command::new(own)
        .args(["--exact", "databases::an_empty_database_has_no_tables"])
        .env("DATABASE_URL", server)
        .output()
        .await?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );

    assert!(!exists(&leftover)?, "the leftover is still there");
    assert!(exists(database.name())?, "a database in use was swept");
    Ok(())
}

#[tokio::test]
async fn logical_redis_databases_are_apart_and_emptied() -> Result<()> {
    let (one, other) = tokio::join!(TestRedis::new(), TestRedis::new());
    assert_ne!(one.url(), other.url());
    assert_ne!(one.prefix(), other.prefix());
    let connect = |url: String| anyhow::Ok(redis::Client::open(url)?.get_connection()?);
    redis::cmd("SET")
        .arg("key")
        .arg("value")
        .exec(&mut connect(one.url())?)?;
    let seen: Option<String> = redis::cmd("GET")
        .arg("key")
        .query(&mut connect(other.url())?)?;
    assert_eq!(seen, None);

    let url = one.url();
    drop(one);
    let left: Option<String> = redis::cmd("GET").arg("key").query(&mut connect(url)?)?;
    assert_eq!(left, None);
    Ok(())
}

#[tokio::test]
async fn the_command_line_finds_a_clone_of_the_template_current() -> Result<()> {
    let database = TestDb::new().await;
    let output = Program::pitchey()
        .args(["db", "status", "--json"])
        .env("DATABASE_URL", database.url())
        .run(Duration::from_secs(30))
        .context("pitchey db status")?;
    assert!(output.status.success(), "{}", output.stderr);
    Ok(())
}
