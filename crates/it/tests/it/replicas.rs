//! A primary with a streaming replica: what the replica has, and who reads from it.

use crate::client::{Client, PASSWORD};
use anyhow::{Context as _, Result};
use http::Method;
use pitchey_runtime::SystemRuntime;
use pitchey_store::{Freshness as _, Users as _};
use pitchey_store_pg::{PgStore, PoolConfig, ReplicaConfig};
use pitchey_testkit::postgres_server::{execute, query_bool};
use pitchey_testkit::{OwnedPostgres, OwnedReplica, Program};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

#[test]
fn a_replica_has_what_the_primary_has_but_not_while_replay_is_paused() -> Result<()> {
    let primary = OwnedPostgres::start()?;
    let mut replica = OwnedReplica::start(&primary)?;
    let has = |replica: &OwnedReplica, n: u32| {
        let query = format!("SELECT EXISTS (SELECT FROM numbers WHERE n = {n})");
        query_bool(&replica.url(), &query)
    };
    execute(
        &primary.url(),
        "CREATE TABLE numbers (n int); INSERT INTO numbers VALUES (1)",
    )?;
    replica.wait_until_caught_up()?;
    assert!(has(&replica, 1)?);

    replica.pause_replay()?;
    execute(&primary.url(), "INSERT INTO numbers VALUES (2)")?;
    assert!(!has(&replica, 2)?, "replay is paused");
    replica.resume_replay()?;
    replica.wait_until_caught_up()?;
    assert!(has(&replica, 2)?);

    replica.kill()?;
    execute(&primary.url(), "INSERT INTO numbers VALUES (3)")?;
    replica.restart()?;
    replica.wait_until_caught_up()?;
    assert!(has(&replica, 3)?, "its slot kept what it missed");
    Ok(())
}

/// A primary with a replica, and a store over both.
struct Site {
    primary: OwnedPostgres,
    replica: OwnedReplica,
    store: PgStore,
    watching: JoinSet<()>,
}

impl Site {
    async fn start(max_lag: Duration) -> Result<Self> {
        let (primary, replica) = tokio::task::spawn_blocking(|| {
            let primary = OwnedPostgres::start()?;
            let replica = OwnedReplica::start(&primary)?;
            anyhow::Ok((primary, replica))
        })
        .await??;
        pitchey_store_pg::migrate::run(&primary.url()).await?;
        let config = PoolConfig {
            max_connections: 8,
            replica_max_lag_ms: u64::try_from(max_lag.as_millis())?,
            replica_ask_timeout_ms: 1_000,
            ..PoolConfig::default()
        };
        let replicas = [ReplicaConfig {
            url: replica.url().into(),
            name: "near".to_owned(),
            distance: 1,
        }];
        let store = PgStore::connect_lazy(&primary.url().into(), &config, SystemRuntime::new())?
            .with_replicas(&replicas, &config)?;
        let mut watching = JoinSet::new();
        let watched = store.clone();
        watching.spawn(async move { watched.watch_replicas().await });
        tokio::task::block_in_place(|| replica.wait_until_caught_up())?;
        Ok(Self {
            primary,
            replica,
            store,
            watching,
        })
    }

    /// An account that the primary has, and the replica once it replays.
    fn add(&self, name: &str) -> Result<()> {
        let insert = format!(
            "INSERT INTO users (id, username, role, display_name)
             VALUES (gen_random_uuid(), '{name}', 'creator', '{name}')"
        );
        tokio::task::block_in_place(|| execute(&self.primary.url(), &insert))
    }

    fn blocking<T>(&self, work: impl FnOnce(&OwnedReplica) -> Result<T>) -> Result<T> {
        tokio::task::block_in_place(|| work(&self.replica))
    }

    /// Waits until a read sees this account, or does not.
    async fn wait_until_seen(&self, name: &str, seen: bool) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while sees(&self.store, name).await? != seen {
            anyhow::ensure!(Instant::now() < until, "{name} is seen: {}", !seen);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

const PATIENCE: Duration = Duration::from_mins(1);
const NO_BOUND: Duration = Duration::from_mins(1);

async fn sees(store: &PgStore, name: &str) -> Result<bool> {
    Ok(store.user_id(&name.parse()?).await?.is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_to_the_replica_but_not_those_that_demand_more_than_it_has() -> Result<()> {
    let site = Site::start(NO_BOUND).await?;
    site.blocking(OwnedReplica::pause_replay)?;
    site.add("ann")?;
    site.wait_until_seen("ann", false).await?;
    let written = site.store.written_position().await?;
    assert!(written.is_some());
    let demanding = site.store.reading(written);
    assert!(sees(&demanding, "ann").await?, "the primary has it");
    assert!(
        sees(&demanding.reading(None), "ann").await?,
        "a view of it as well"
    );
    assert!(!sees(&site.store, "ann").await?, "others do not demand it");

    site.blocking(OwnedReplica::resume_replay)?;
    site.blocking(OwnedReplica::wait_until_caught_up)?;
    assert!(sees(&demanding, "ann").await?);
    site.blocking(OwnedReplica::pause_replay)?;
    site.add("bob")?;
    assert!(
        !sees(&demanding, "bob").await?,
        "the replica has what is demanded by now"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_lags_beyond_the_bound_is_left_out() -> Result<()> {
    let site = Site::start(Duration::from_millis(300)).await?;
    site.blocking(OwnedReplica::pause_replay)?;
    site.add("ann")?;
    site.wait_until_seen("ann", true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_costs_no_read_and_answers_again_after_its_return() -> Result<()> {
    let mut site = Site::start(NO_BOUND).await?;
    site.add("ann")?;
    site.blocking(OwnedReplica::wait_until_caught_up)?;
    site.blocking(OwnedReplica::pause_replay)?;
    site.add("bob")?;
    site.wait_until_seen("bob", false).await?;

    let mut readers = JoinSet::new();
    let stop = CancellationToken::new();
    // More than what is saved up for reads that are asked twice.
    for _ in 0..64 {
        let (store, stop) = (site.store.clone(), stop.clone());
        readers.spawn(async move {
            while !stop.is_cancelled() {
                anyhow::ensure!(sees(&store, "ann").await?);
            }
            anyhow::Ok(())
        });
    }
    tokio::task::block_in_place(|| site.replica.kill())?;
    site.wait_until_seen("bob", true).await?;
    tokio::task::block_in_place(|| site.replica.restart())?;
    site.blocking(OwnedReplica::wait_until_caught_up)?;
    site.blocking(OwnedReplica::pause_replay)?;
    site.add("cleo")?;
    site.wait_until_seen("cleo", false).await?;
    stop.cancel();
    while let Some(reader) = readers.join_next().await {
        reader?.context("a read failed")?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_answers_as_long_as_nobody_watches_the_replicas() -> Result<()> {
    let mut site = Site::start(NO_BOUND).await?;
    site.watching.shutdown().await;
    site.blocking(OwnedReplica::pause_replay)?;
    site.add("ann")?;
    site.wait_until_seen("ann", true).await
}

/// An origin in front of the primary and its replica, which knows both.
fn origin_over(site: &Site) -> Result<pitchey_testkit::Origin> {
    let replicas = format!("[{{url=\"{}\",name=\"near\"}}]", site.replica.url());
    let program = Program::origin()
        .env("DATABASE_URL", site.primary.url())
        .env("PITCHEY_DATABASE__REPLICAS", replicas)
        .env("PITCHEY_DATABASE__REPLICA_MAX_LAG_MS", "60000");
    tokio::task::block_in_place(|| pitchey_testkit::Origin::start_with(&program))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_written_sees_it_although_the_replica_does_not_yet() -> Result<()> {
    let site = Site::start(NO_BOUND).await?;
    let origin = origin_over(&site)?;
    let client = Client::new(origin.address());
    let profile = async |name: &str, cookie: &str| {
        let headers = [("cookie", cookie)];
        client.get(&format!("/api/users/{name}"), &headers).await
    };
    site.blocking(OwnedReplica::pause_replay)?;
    site.add("ann")?;
    // Until the origin has found its replica, the primary answers.
    let until = Instant::now() + PATIENCE;
    while profile("ann", "").await?.status == 200 {
        anyhow::ensure!(Instant::now() < until, "the replica never answers");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let body = json!({
        "email": "bob@example.org", "username": "bob", "password": PASSWORD, "role": "creator",
    });
    let registered = client
        .send(Method::POST, "/api/auth/register", &[], Some(&body))
        .await?
        .expect(201)?;
    let cookies = registered.headers.get_all("set-cookie").iter();
    let position = cookies
        .filter_map(|cookie| cookie.to_str().ok()?.split(';').next())
        .find(|cookie| cookie.starts_with("__Host-position="))
        .context("a write tells its position")?;
    assert_eq!(profile("bob", "").await?.status, 404, "the replica answers");
    let own = profile("bob", position).await?.expect(200)?;
    let timing: Vec<_> = own.headers.get_all("server-timing").iter().collect();
    assert!(format!("{timing:?}").contains("statement"), "{timing:?}");
    assert!(own.header("x-database-time").parse::<f64>()? > 0.0);
    for garbage in ["FFFFFFFFFFFF", "", "a/b/c", "-1/1"] {
        let cookie = format!("__Host-position={garbage}");
        assert_eq!(profile("bob", &cookie).await?.status, 404, "{garbage:?}");
    }
    Ok(())
}
