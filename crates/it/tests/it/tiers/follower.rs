//! The follower of a real Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pitchey_cache::shared::{Shared as _, Strength};
use pitchey_cache::{AsOf, CatchUp, Node, NodeConfig, NodeStatus, Position};
use pitchey_runtime::SystemRuntime;
use pitchey_tiers::{Follower, RedisShared};
use tokio::sync::Semaphore;

use super::{OverRedis, Tier, ask, eventually, owned};

/// Long enough for a busy machine to prove in time.
const SILENCE: Duration = Duration::from_secs(10);

fn node() -> Arc<Node> {
    Arc::new(Node::new(NodeConfig {
        silence: SILENCE,
        ..NodeConfig::default()
    }))
}

fn follow(tier: &Tier, node: &Arc<Node>, catch_up: impl CatchUp + 'static) {
    let timeout = Duration::from_secs(5);
    let follower = Follower::new(tier.link.clone(), Arc::clone(node), catch_up, timeout);
    let stop = tier.stop.clone();
    tokio::spawn(async move { follower.run(&stop).await });
}

struct NothingPending;

impl CatchUp for NothingPending {
    async fn catch_up(&self) -> bool {
        true
    }
}

/// One invalidation, which cannot be delivered the first time, nor before it may be.
struct Pending {
    gate: Arc<Semaphore>,
    asked: Arc<AtomicU32>,
    shared: RedisShared<SystemRuntime>,
}

impl CatchUp for Pending {
    async fn catch_up(&self) -> bool {
        let before = self.asked.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.expect("it is open").forget();
        if before == 0 {
            return false;
        }
        let tags = ["t".into()];
        let raised = self
            .shared
            .invalidate(&tags, Strength::Hard, Position(40))
            .await;
        raised.is_ok() && self.shared.reach(Position(42)).await.is_ok()
    }
}

fn status(tier: &Tier, node: &Node) -> NodeStatus {
    // The follower's clock is a copy of the tier's.
    node.status(tier.now())
}

async fn attached(tier: &Tier, node: &Node) -> NodeStatus {
    eventually("attached", async || status(tier, node).attached).await;
    status(tier, node)
}

async fn raise(tier: &Tier, tag: &str) -> AsOf {
    tier.shared
        .invalidate(&[tag.into()], Strength::Hard, Position::default())
        .await
        .expect("Redis answers")
}

async fn heard(tier: &Tier, node: &Node, as_of: AsOf) {
    eventually("heard", async || {
        let status = status(tier, node);
        status.attached && status.epoch == as_of.epoch && status.applied >= as_of.seq
    })
    .await;
}

#[tokio::test]
async fn a_node_hears_every_sort_of_announcement() {
    let redis = OverRedis::new().await;
    let node = node();
    // It is attached behind what was announced before.
    let before = raise(&redis.tier, "t").await;
    follow(&redis.tier, &node, NothingPending);
    let first = attached(&redis.tier, &node).await;
    assert_eq!((first.epoch, first.applied), (before.epoch, before.seq));

    let other = Tier::connect(&redis.redis.url()).await;
    heard(&redis.tier, &node, raise(&other, "t").await).await;
    let tags = ["u".into()];
    let soft = other.shared.invalidate(&tags, Strength::Soft, Position(7));
    heard(&redis.tier, &node, soft.await.expect("Redis answers")).await;
    let removal = other
        .shared
        .remove(&["k".into(), "l".into()], Position::default())
        .await;
    heard(&redis.tier, &node, removal.expect("Redis answers")).await;
    other
        .shared
        .remove_prefix("p:", Position::default())
        .await
        .expect("Redis answers");
    heard(&redis.tier, &node, raise(&other, "v").await).await;
    let last = status(&redis.tier, &node);
    assert_eq!(last.era, first.era, "none was missed");
}

#[tokio::test]
async fn more_announcements_than_are_read_at_once_are_all_heard() {
    let redis = OverRedis::new().await;
    let node = node();
    follow(&redis.tier, &node, NothingPending);
    let first = attached(&redis.tier, &node).await;
    let raises = (0..2500).map(|n| {
        let shared = redis.tier.shared.clone();
        async move {
            let tags = [format!("t:{n}").into()];
            let raised = shared.invalidate(&tags, Strength::Hard, Position::default());
            raised.await.expect("Redis answers").seq
        }
    });
    let mut newest = first.applied;
    for raise in raises {
        newest = newest.max(raise.await);
    }
    assert_eq!(newest.0, first.applied.0 + 2500);
    let newest = AsOf {
        epoch: first.epoch,
        seq: newest,
    };
    heard(&redis.tier, &node, newest).await;
    assert_eq!(status(&redis.tier, &node).era, first.era);
}

#[tokio::test]
async fn trust_is_renewed_while_nothing_is_announced() {
    let redis = OverRedis::new().await;
    let node = node();
    follow(&redis.tier, &node, NothingPending);
    let first = attached(&redis.tier, &node).await;
    let until = redis.tier.now() + first.trusted_for;
    eventually("trusted for longer", async || {
        redis.tier.now() + status(&redis.tier, &node).trusted_for > until + Duration::from_millis(1)
    })
    .await;
    assert_eq!(status(&redis.tier, &node).era, first.era);
}

#[tokio::test]
async fn a_number_whose_announcement_was_trimmed_makes_a_node_begin_anew() {
    let redis = OverRedis::new().await;
    let node = node();
    follow(&redis.tier, &node, NothingPending);
    let first = attached(&redis.tier, &node).await;
    raise(&redis.tier, "t").await;
    let client = redis::Client::open(redis.redis.url()).expect("the URL is one");
    let connection = client.get_multiplexed_async_connection().await;
    let mut connection = connection.expect("Redis can be reached");
    // In one step, so that no follower can read it before it is trimmed.
    let mut trimmed = redis::pipe();
    trimmed.atomic().hincr("it[*]:clock", "seq", 1).ignore();
    trimmed
        .cmd("XTRIM")
        .arg("it[*]:stream")
        .arg("MAXLEN")
        .arg(0);
    let _: (u64,) = trimmed
        .query_async(&mut connection)
        .await
        .expect("Redis answers");
    eventually("begun anew", async || {
        let status = status(&redis.tier, &node);
        status.attached && status.era > first.era
    })
    .await;
    let last = status(&redis.tier, &node);
    assert_eq!(last.applied.0, first.applied.0 + 2);
}

#[tokio::test]
async fn what_is_pending_is_delivered_before_a_node_is_attached() {
    let redis = OverRedis::new().await;
    let node = node();
    let gate = Arc::new(Semaphore::new(0));
    let asked = Arc::new(AtomicU32::new(0));
    let pending = Pending {
        gate: Arc::clone(&gate),
        asked: Arc::clone(&asked),
        shared: redis.tier.shared.clone(),
    };
    redis.tier.given("k").await;
    follow(&redis.tier, &node, pending);
    for attempts in 1..=2 {
        eventually("asked for what is pending", async || {
            asked.load(Ordering::SeqCst) == attempts
        })
        .await;
        assert!(!status(&redis.tier, &node).attached);
        assert!(redis.tier.has("k").await, "nothing was delivered yet");
        gate.add_permits(1);
    }
    attached(&redis.tier, &node).await;
    assert!(!redis.tier.has("k").await);
    let lease = redis.tier.lease("other").await;
    assert_eq!(lease.position, Position(42), "copies must have come so far");
}

#[tokio::test]
async fn a_node_leaves_a_server_that_takes_no_writes_and_comes_back() {
    let redis = owned().await;
    let tier = Tier::connect(&redis.url()).await;
    let node = node();
    follow(&tier, &node, NothingPending);
    let first = attached(&tier, &node).await;
    let _: () = ask(&redis.url(), &["REPLICAOF", "127.0.0.1", "1"]).await;
    eventually("detached", async || !status(&tier, &node).attached).await;
    let _: () = ask(&redis.url(), &["REPLICAOF", "NO", "ONE"]).await;
    assert!(attached(&tier, &node).await.era > first.era);
}

#[tokio::test]
async fn a_node_begins_anew_with_a_server_that_was_restarted() {
    let mut redis = owned().await;
    let tier = Tier::connect(&redis.url()).await;
    let node = node();
    follow(&tier, &node, NothingPending);
    let first = attached(&tier, &node).await;
    redis.kill().expect("it runs");
    eventually("detached", async || !status(&tier, &node).attached).await;
    redis.restart().expect("it starts");
    let again = attached(&tier, &node).await;
    assert!(again.epoch != first.epoch && again.era > first.era);
    // The connection of calls may not have been used meanwhile.
    eventually("calls work again", async || {
        tier.lookup("recovery").await.is_ok()
    })
    .await;
    heard(&tier, &node, raise(&tier, "t").await).await;
}

#[tokio::test]
async fn a_node_begins_anew_when_the_server_is_flushed() {
    let redis = OverRedis::new().await;
    let node = node();
    follow(&redis.tier, &node, NothingPending);
    let first = attached(&redis.tier, &node).await;
    let _: () = redis.ask(&["FLUSHDB"]).await;
    eventually("begun anew", async || {
        let status = status(&redis.tier, &node);
        status.attached && status.epoch != first.epoch
    })
    .await;
}

#[tokio::test]
async fn a_follower_that_is_stopped_leaves_its_node_detached() {
    let redis = OverRedis::new().await;
    let node = node();
    follow(&redis.tier, &node, NothingPending);
    attached(&redis.tier, &node).await;
    redis.tier.stop.cancel();
    eventually("detached", async || !status(&redis.tier, &node).attached).await;
}
