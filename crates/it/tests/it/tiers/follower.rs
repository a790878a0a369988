//! The follower of a real Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pitchey_cache::shared::{Shared as _, Strength};
use pitchey_cache::{AsOf, Node, NodeConfig, NodeStatus, Position};
use pitchey_tiers::{CatchUp, CatchUpError, Follower, FollowerConfig};
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

fn follow(tier: &Tier, node: &Arc<Node>, catch_up: impl CatchUp) {
    let config = FollowerConfig {
        timeout: Duration::from_secs(5),
        retry_after: (Duration::from_millis(10), Duration::from_millis(100)),
        ..FollowerConfig::default()
    };
    let follower = Follower::new(tier.link.clone(), Arc::clone(node), catch_up, config);
    let stop = tier.stop.clone();
    tokio::spawn(async move { follower.run(&stop).await });
}

async fn nothing_pending() -> Result<Position, CatchUpError> {
    Ok(Position::default())
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
    follow(&redis.tier, &node, nothing_pending);
    let first = attached(&redis.tier, &node).await;
    assert_eq!((first.epoch, first.applied), (before.epoch, before.seq));

    let other = Tier::connect(&redis.redis.url()).await;
    heard(&redis.tier, &node, raise(&other, "t").await).await;
    let tags = ["u".into()];
    let soft = other.shared.invalidate(&tags, Strength::Soft, Position(7));
    heard(&redis.tier, &node, soft.await.expect("Redis answers")).await;
    let removal = other.shared.remove(&["k".into(), "l".into()]).await;
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
    follow(&redis.tier, &node, nothing_pending);
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
    follow(&redis.tier, &node, nothing_pending);
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
    follow(&redis.tier, &node, nothing_pending);
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
    let pending = {
        let (gate, asked) = (Arc::clone(&gate), Arc::clone(&asked));
        let shared = redis.tier.shared.clone();
        move || {
            let (gate, asked, shared) = (Arc::clone(&gate), Arc::clone(&asked), shared.clone());
            async move {
                let before = asked.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.expect("it is not closed").forget();
                if before == 0 {
                    return Err(CatchUpError("the database is away".into()));
                }
                let tags = ["t".into()];
                let raised = shared.invalidate(&tags, Strength::Hard, Position(40)).await;
                raised.map_err(|error| CatchUpError(Box::new(error)))?;
                Ok(Position(42))
            }
        }
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
    follow(&tier, &node, nothing_pending);
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
    follow(&tier, &node, nothing_pending);
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
    follow(&redis.tier, &node, nothing_pending);
    let first = attached(&redis.tier, &node).await;
    let _: () = redis.ask(&["FLUSHDB"]).await;
    eventually("begun anew", async || {
        let status = status(&redis.tier, &node);
        status.attached && status.epoch != first.epoch
    })
    .await;
}

#[tokio::test]
async fn a_node_whose_connection_was_cut_goes_on_where_it_was() {
    let redis = owned().await;
    let tier = Tier::connect(&redis.url()).await;
    let node = node();
    follow(&tier, &node, nothing_pending);
    let first = attached(&tier, &node).await;
    // What is cut after less than this counts as a failure.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let _: u64 = ask(
        &redis.url(),
        &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"],
    )
    .await;
    eventually("calls work again", async || {
        tier.lookup("recovery").await.is_ok()
    })
    .await;
    heard(&tier, &node, raise(&tier, "t").await).await;
    assert_eq!(status(&tier, &node).era, first.era);
}

#[tokio::test]
async fn a_follower_that_is_stopped_leaves_its_node_detached() {
    let redis = OverRedis::new().await;
    let node = node();
    follow(&redis.tier, &node, nothing_pending);
    attached(&redis.tier, &node).await;
    redis.tier.stop.cancel();
    eventually("detached", async || !status(&redis.tier, &node).attached).await;
}
