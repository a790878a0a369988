//! What is done about the caches right after a commit, over a real PostgreSQL.

use anyhow::{Context as _, Result};
use pitchey_model::decide::{Expected, Refusal};
use pitchey_model::{Account, Actor, ProfileChange, Role, UserId, WalPosition};
use pitchey_runtime::{Clock as _, SystemRuntime};
use pitchey_store::Accounts as _;
use pitchey_store_pg::{Invalidate, PgStore, PoolConfig, RelayRound};
use pitchey_testkit::TestDb;
use pitchey_testkit::postgres_server::execute;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(30);

/// What a cache says.
#[derive(Clone, Copy)]
enum Says {
    Done,
    NotDone,
    Nothing,
}

struct Cache {
    says: Says,
    told: mpsc::Sender<(Vec<String>, Option<WalPosition>)>,
}

impl Invalidate for Cache {
    fn invalidate(
        &self,
        tags: Vec<String>,
        position: Option<WalPosition>,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(async move {
            let told = self.told.send((tags, position)).await;
            match self.says {
                Says::Done => told.is_ok(),
                Says::NotDone => false,
                Says::Nothing => std::future::pending().await,
            }
        })
    }
}

struct Site {
    _database: TestDb,
    store: PgStore,
    told: mpsc::Receiver<(Vec<String>, Option<WalPosition>)>,
    ann: Actor,
}

impl Site {
    async fn new(says: Says) -> Result<Self> {
        let database = TestDb::new().await;
        let (told, hears) = mpsc::channel(16);
        let clock = SystemRuntime::new();
        let config = PoolConfig {
            max_connections: 4,
            ..PoolConfig::default()
        };
        let store = PgStore::connect_lazy(&database.url().into(), &config, clock)?
            .with_invalidation(Arc::new(Cache { says, told }));
        let ann = Actor {
            id: UserId(Uuid::from_u128(1)),
            username: "ann".parse()?,
            display_name: "Ann".to_owned(),
            role: Role::Creator,
            session: Uuid::from_u128(2).into(),
        };
        execute(
            database.url(),
            &format!(
                "INSERT INTO users (id, username, role, display_name)
                 VALUES ('{}', 'ann', 'creator', 'Ann')",
                ann.id
            ),
        )?;
        Ok(Self {
            _database: database,
            store,
            told: hears,
            ann,
        })
    }

    /// A change that raises tags and has no events.
    async fn rename(&self, expected: Expected) -> Result<Result<Account, Refusal>> {
        let change = ProfileChange {
            display_name: Some("Ann Lee".to_owned()),
            ..ProfileChange::default()
        };
        let now = SystemRuntime::new().wall();
        let changed = self.store.change_profile(&self.ann, &expected, change, now);
        Ok(changed.await?)
    }

    /// The tags that the relay is left with.
    async fn left(&self) -> Result<Vec<String>> {
        let mut left = Vec::new();
        let round = self
            .store
            .relay_tags(10, async |tags| {
                left.extend(tags.iter().map(|tag| tag.tag.clone()));
                tags.iter().map(|tag| tag.id).collect()
            })
            .await?;
        assert_eq!(round.taken, left.len());
        left.sort_unstable();
        Ok(left)
    }

    fn tags(&self) -> Vec<String> {
        vec![
            format!("creator:{}", self.ann.id),
            format!("user:{}", self.ann.id),
        ]
    }
}

/// Whether the future is ready at once.
async fn ready(future: impl Future<Output = ()>) -> bool {
    tokio::select! {
        biased;
        () = future => true,
        () = std::future::ready(()) => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cache_acknowledges_is_not_left_to_the_relay() -> Result<()> {
    let mut site = Site::new(Says::Done).await?;
    let mut bell = site.store.outbox_written();
    site.rename(Expected::Any).await??;
    let (tags, position) = site.told.try_recv()?;
    assert_eq!(tags, site.tags());
    assert_eq!(position, None, "there are no replicas");
    assert!(!ready(bell.next()).await, "the relay has nothing to do");
    assert_eq!(site.left().await?, [""; 0]);
    let status = site.store.outbox_status().await?;
    assert_eq!(
        (status.tags.pending, status.tags.delivered_last_hour),
        (0, 2)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_undone_is_not_told() -> Result<()> {
    let mut site = Site::new(Says::Done).await?;
    let refused = site.rename(Expected::OneOf(vec![7])).await?;
    assert!(refused.is_err(), "it has another version: {refused:?}");
    assert!(site.told.try_recv().is_err());
    assert_eq!(
        site.store.relay_tags(1, async |_| vec![]).await?,
        RelayRound::default()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cache_does_not_acknowledge_is_left_to_every_relay() -> Result<()> {
    let mut site = Site::new(Says::NotDone).await?;
    let mut bell = site.store.outbox_written();
    let mut others = site.store.listen_outbox().await?;
    site.rename(Expected::Any).await??;
    assert_eq!(site.told.try_recv()?.0, site.tags());
    assert!(ready(bell.next()).await, "the own relay is woken");
    tokio::time::timeout(PATIENCE, others.woken())
        .await
        .context("the other relays are woken")??;
    assert_eq!(site.left().await?, site.tags());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_does_not_answer_costs_a_write_a_second_and_no_more() -> Result<()> {
    let site = Site::new(Says::Nothing).await?;
    tokio::time::timeout(PATIENCE, site.rename(Expected::Any)).await???;
    assert_eq!(site.left().await?, site.tags());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_goes_after_its_commit_leaves_the_rest_to_the_relay() -> Result<()> {
    let mut site = Site::new(Says::Nothing).await?;
    let mut bell = site.store.outbox_written();
    let told = {
        let renamed = site.store.change_profile(
            &site.ann,
            &Expected::Any,
            ProfileChange {
                display_name: Some("Ann Lee".to_owned()),
                ..ProfileChange::default()
            },
            SystemRuntime::new().wall(),
        );
        // Dropped as soon as the cache has been told, which is after the commit.
        tokio::select! {
            _ = renamed => None,
            told = site.told.recv() => told,
        }
    };
    assert_eq!(told.context("it was told")?.0, site.tags());
    assert!(ready(bell.next()).await, "the relay is woken");
    assert_eq!(site.left().await?, site.tags());
    Ok(())
}
