//! What nobody waits for any more ends in the server too.

use crate::client::Client;
use anyhow::{Context as _, Result};
use pitchey_model::decide::Expected;
use pitchey_model::{Actor, ProfileChange, Role, UserId};
use pitchey_resilience::Deadline;
use pitchey_runtime::{Clock as _, SystemRuntime};
use pitchey_store::{Accounts as _, StoreError, Users as _};
use pitchey_store_pg::{DatabaseUsage, PgStore, PoolConfig, RequestScope};
use pitchey_testkit::{Origin, Program, TestDb};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_postgres::{Client as Database, NoTls};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(30);

/// A database whose accounts somebody holds, so that whatever reads or changes them waits.
struct Site {
    database: TestDb,
    store: PgStore,
    holder: Database,
    watcher: Database,
    _connections: JoinSet<()>,
}

impl Site {
    async fn new() -> Result<Self> {
        Self::with_queue(PoolConfig::default().max_queued).await
    }

    async fn with_queue(max_queued: usize) -> Result<Self> {
        let database = TestDb::new().await;
        let mut connections = JoinSet::new();
        let mut connect = async || {
            let (client, connection) = tokio_postgres::connect(database.url(), NoTls).await?;
            connections.spawn(async {
                let _ = connection.await;
            });
            anyhow::Ok(client)
        };
        let (holder, watcher) = (connect().await?, connect().await?);
        let config = PoolConfig {
            max_connections: 2,
            // So that it is not this that ends anything here.
            statement_timeout_ms: 600_000,
            acquire_timeout_ms: 60_000,
            max_queued,
            ..PoolConfig::default()
        };
        let store = PgStore::connect_lazy(&database.url().into(), &config, SystemRuntime::new())?;
        holder
            .batch_execute(&format!(
                "INSERT INTO users (id, username, role, display_name)
                 VALUES ('{}', 'ann', 'creator', 'Ann')",
                Uuid::from_u128(1)
            ))
            .await?;
        Ok(Self {
            database,
            store,
            holder,
            watcher,
            _connections: connections,
        })
    }

    async fn hold(&self) -> Result<()> {
        let lock = "BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE";
        Ok(self.holder.batch_execute(lock).await?)
    }

    /// Waits until so many statements of the service wait for the lock.
    async fn wait_for_waiting(&self, wanted: i64) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let row = self.watcher.query_one(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                 AND application_name = 'pitchey' AND wait_event_type = 'Lock'",
                &[],
            );
            let waiting: i64 = row.await?.get(0);
            if waiting == wanted {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < until, "{waiting} statements wait");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn rename(&self) -> Result<(), StoreError> {
        let ann = Actor {
            id: UserId(Uuid::from_u128(1)),
            username: "ann".parse().expect("a name"),
            display_name: "Ann".to_owned(),
            role: Role::Creator,
            session: Uuid::from_u128(2).into(),
        };
        let change = ProfileChange {
            display_name: Some("Ann Lee".to_owned()),
            ..ProfileChange::default()
        };
        let now = SystemRuntime::new().wall();
        let changed = self.store.change_profile(&ann, &Expected::Any, change, now);
        changed.await.map(|_| ())
    }

    async fn find(&self) -> Result<(), StoreError> {
        let name = "ann".parse().expect("a name");
        self.store.user_id(&name).await.map(|_| ())
    }

    /// Whether the store works once nobody holds anything.
    async fn works(&self) -> Result<()> {
        self.holder.batch_execute("ROLLBACK").await?;
        self.find().await?;
        self.rename().await?;
        Ok(self.find().await?)
    }
}

fn scope(patience: Duration) -> RequestScope {
    RequestScope::new("r-1", Deadline::after(SystemRuntime::new().now(), patience))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_ends_at_its_deadline_in_the_server_too() -> Result<()> {
    let site = Site::new().await?;
    site.hold().await?;
    let scope = scope(Duration::from_millis(500));
    let found = scope.run(site.find()).await;
    assert!(matches!(found, Err(StoreError::Timeout(_))), "{found:?}");
    site.wait_for_waiting(0).await?;
    let usage = scope.usage();
    assert_eq!(usage.statements, 1);
    assert!(usage.time > Duration::ZERO, "{usage:?}");
    site.works().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_ends_at_its_deadline_by_the_server_itself() -> Result<()> {
    let site = Site::new().await?;
    site.hold().await?;
    // Nobody drops the future: the server was told in the trip that began the transaction.
    let renamed = scope(Duration::from_millis(500)).run(site.rename()).await;
    assert!(
        matches!(renamed, Err(StoreError::Timeout(_))),
        "{renamed:?}"
    );
    site.wait_for_waiting(0).await?;
    site.works().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_in_the_middle_ends_in_the_server() -> Result<()> {
    let site = Site::new().await?;
    site.hold().await?;
    tokio::select! {
        _ = async { tokio::join!(site.find(), site.rename()) } => anyhow::bail!("they do not wait"),
        waiting = site.wait_for_waiting(2) => waiting?,
    }
    site.wait_for_waiting(0).await?;
    site.works().await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_begins_after_the_deadline() -> Result<()> {
    let site = Site::new().await?;
    let scope = scope(Duration::ZERO);
    for result in [scope.run(site.find()).await, scope.run(site.rename()).await] {
        assert!(matches!(result, Err(StoreError::Timeout(_))), "{result:?}");
    }
    let connections = site.watcher.query_one(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'pitchey'",
        &[],
    );
    assert_eq!(
        connections.await?.get::<_, i64>(0),
        0,
        "it has not even connected"
    );
    site.works().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_connection_waits_no_longer_than_the_deadline() -> Result<()> {
    let site = Site::new().await?;
    site.hold().await?;
    tokio::select! {
        _ = async { tokio::join!(site.find(), site.find()) } => anyhow::bail!("they do not wait"),
        late = async {
            site.wait_for_waiting(2).await?;
            let late = scope(Duration::from_millis(200)).run(site.find()).await;
            assert!(matches!(late, Err(StoreError::Timeout(_))), "{late:?}");
            anyhow::Ok(())
        } => late?,
    }
    site.wait_for_waiting(0).await?;
    site.works().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_place_and_may_not_wait_for_one_is_refused_at_once() -> Result<()> {
    let site = Site::with_queue(0).await?;
    site.hold().await?;
    tokio::select! {
        _ = async { tokio::join!(site.find(), site.rename()) } => anyhow::bail!("they do not wait"),
        refused = async {
            site.wait_for_waiting(2).await?;
            for refused in [site.find().await, site.rename().await] {
                assert!(matches!(refused, Err(StoreError::Overloaded(_))), "{refused:?}");
            }
            anyhow::Ok(())
        } => refused?,
    }
    site.wait_for_waiting(0).await?;
    site.works().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_charged_with_every_statement() -> Result<()> {
    let site = Site::new().await?;
    let scope = scope(PATIENCE);
    assert_eq!(scope.usage(), DatabaseUsage::default());
    scope.run(site.find()).await?;
    assert_eq!(scope.usage().statements, 1);
    // It locks the account, changes it and writes its two tags.
    scope.run(site.rename()).await?;
    assert_eq!(scope.usage().statements, 4);
    site.find().await?;
    assert_eq!(scope.usage().statements, 4, "that was nobody's");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_ends_its_query() -> Result<()> {
    let site = Site::new().await?;
    let program = Program::origin()
        .env("DATABASE_URL", site.database.url())
        .env("PITCHEY_HTTP__REQUEST_TIMEOUT_MS", "60000")
        .env("PITCHEY_DATABASE__STATEMENT_TIMEOUT_MS", "600000");
    let origin = tokio::task::spawn_blocking(move || Origin::start_with(&program)).await??;
    site.hold().await?;
    let impatient = Client::new(origin.address());
    tokio::select! {
        answer = impatient.get("/api/users/ann", &[]) => anyhow::bail!("it does not wait: {answer:?}"),
        waiting = site.wait_for_waiting(1) => waiting?,
    }
    drop(impatient);
    site.wait_for_waiting(0)
        .await
        .context("its query goes on")?;

    let client = Client::new(origin.address());
    let late = client.get("/api/users/ann", &[("x-request-timeout-ms", "300")]);
    assert_eq!(late.await?.status, 503);
    site.wait_for_waiting(0)
        .await
        .context("its query goes on")?;
    site.holder.batch_execute("ROLLBACK").await?;
    assert_eq!(client.get("/api/users/ann", &[]).await?.status, 200);
    let log = origin.log();
    assert!(log.contains("slow statement"), "{log}");
    Ok(())
}
