//! What happens when something happens to Redis.

use std::time::Duration;

use pitchey_cache::shared::{Filled, Granted, Shared as _, SharedError, Strength};
use pitchey_cache::{Epoch, Position};
use pitchey_testkit::OwnedRedis;
use rustix::process::{Pid, Signal, kill_process};

use super::{OverRedis, Tier, ask, eventually, lookup, owned};

async fn epoch(tier: &Tier) -> Epoch {
    tier.shared
        .remove(&[], Position::default())
        .await
        .expect("Redis answers")
        .epoch
}

fn signal(redis: &OwnedRedis, signal: Signal) {
    let pid = redis.pid().expect("it runs").cast_signed();
    kill_process(Pid::from_raw(pid).expect("a process"), signal).expect("it is ours");
}

async fn answers_again(tier: &Tier) {
    eventually("Redis answers again", async || {
        tier.lookup("recovery").await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_server_that_was_killed_is_away_at_once_and_comes_back_by_itself() {
    let mut redis = owned().await;
    let tier = Tier::connect(&redis.url()).await;
    tier.given("k").await;
    let before = epoch(&tier).await;
    redis.kill().expect("it runs");
    for _ in 0..100 {
        // Not a timeout, which is ten seconds here.
        let failed = tier.lookup("k").await.expect_err("nobody is there");
        assert!(matches!(failed, SharedError::Unavailable(_)), "{failed}");
    }
    assert!(!tier.link.is_connected());
    redis.restart().expect("it starts");
    answers_again(&tier).await;
    assert!(!tier.has("k").await, "it was restarted empty");
    assert_ne!(epoch(&tier).await, before);
}

#[tokio::test]
async fn a_server_that_was_flushed_begins_another_epoch_on_the_same_connection() {
    let redis = OverRedis::new().await;
    let tier = &redis.tier;
    tier.given("k").await;
    let lease = tier.lease("loading").await;
    let before = epoch(tier).await;
    let _: () = redis.ask(&["FLUSHDB"]).await;
    let filled = tier.fill("loading", lease).await;
    assert_eq!(filled.ok(), Some(Filled::OtherEpoch));
    assert!(!tier.has("k").await);
    assert_ne!(epoch(tier).await, before);
}

#[tokio::test]
async fn a_server_restarted_from_a_snapshot_gives_nothing_that_the_snapshot_holds() {
    let mut redis = owned().await;
    let tier = Tier::connect(&redis.url()).await;
    tier.given("k").await;
    let before = epoch(&tier).await;
    let _: () = ask(&redis.url(), &["SAVE"]).await;
    // The snapshot does not know of it.
    let tags = ["t".into()];
    let position = Position(42);
    let raised = tier.shared.invalidate(&tags, Strength::Hard, position);
    raised.await.expect("Redis answers");
    redis.kill().expect("it runs");
    redis.restart().expect("it starts");
    let kept: u64 = ask(&redis.url(), &["EXISTS", "it[*]:e:k"]).await;
    assert_eq!(kept, 1, "the snapshot was read");
    answers_again(&tier).await;
    assert!(!tier.has("k").await);
    assert_ne!(epoch(&tier).await, before);
}

#[tokio::test]
async fn a_server_that_became_read_only_refuses_until_it_is_not() {
    let redis = owned().await;
    let tier = Tier::connect(&redis.url()).await;
    tier.given("k").await;
    let _: () = ask(&redis.url(), &["REPLICAOF", "127.0.0.1", "1"]).await;
    let tags = ["t".into()];
    for _ in 0..10 {
        let raised = tier
            .shared
            .invalidate(&tags, Strength::Hard, Position::default());
        let refused = raised.await.expect_err("it takes no writes");
        assert!(matches!(refused, SharedError::Refused(_)), "{refused}");
    }
    let refused = tier.lookup("k").await.expect_err("it takes no writes");
    assert!(matches!(refused, SharedError::Refused(_)), "{refused}");
    let _: () = ask(&redis.url(), &["REPLICAOF", "NO", "ONE"]).await;
    answers_again(&tier).await;
}

#[tokio::test]
async fn a_full_server_takes_lookups_and_invalidations_and_no_fills() {
    let redis = owned().await;
    let tier = Tier::connect(&redis.url()).await;
    tier.given("k").await;
    tier.given("other").await;
    let lease = tier.lease("loading").await;
    let _: () = ask(&redis.url(), &["CONFIG", "SET", "maxmemory", "1"]).await;

    let refused = tier.fill("loading", lease).await.expect_err("it is full");
    assert!(
        matches!(&refused, SharedError::Refused(why) if why.starts_with("OOM")),
        "{refused}"
    );
    // Nobody waits for the lease of a fill that was refused.
    tier.lease("loading").await;

    assert!(tier.has("k").await);
    let position = Position::default();
    let tags = ["t".into()];
    let raised = tier.shared.invalidate(&tags, Strength::Hard, position);
    raised.await.expect("an invalidation needs no room");
    assert!(!tier.has("k").await);
    tier.shared
        .remove(&["k".into()], Position::default())
        .await
        .expect("a removal needs no room");
    let removed = tier.shared.remove_prefix("", Position::default()).await;
    assert_eq!(removed.expect("a removal needs no room"), 1);

    let _: () = ask(&redis.url(), &["CONFIG", "SET", "maxmemory", "0"]).await;
    tier.given("k").await;
}

#[tokio::test]
async fn a_server_that_hangs_costs_its_timeout_until_it_is_given_up() {
    let redis = owned().await;
    let tier = Tier::open(&redis.url(), Duration::from_millis(200));
    tier.link.connected().await;
    answers_again(&tier).await;
    signal(&redis, Signal::STOP);
    let mut timeouts = 0;
    let unavailable = loop {
        match tier.lookup("k").await {
            Err(SharedError::Timeout) => timeouts += 1,
            other => break other.expect_err("it hangs"),
        }
        assert!(timeouts < 100, "it is never given up");
    };
    assert!(timeouts > 0);
    assert!(
        matches!(unavailable, SharedError::Unavailable(_)),
        "{unavailable}"
    );
    signal(&redis, Signal::CONT);
    answers_again(&tier).await;
}

#[tokio::test]
async fn a_lease_that_is_granted_too_late_is_given_back() {
    let mut redis = owned().await;
    let tier = Tier::open(&redis.url(), Duration::from_millis(200));
    tier.link.connected().await;
    answers_again(&tier).await;
    for (key, drops) in [("late", false), ("dropped", true)] {
        redis.pause().expect("it runs");
        let asked = tier.lookup(key);
        if drops {
            let asking = tokio::time::timeout(Duration::from_millis(20), asked);
            asking.await.expect_err("it hangs");
        } else {
            let late = asked.await.expect_err("it hangs");
            assert!(matches!(late, SharedError::Timeout), "{late}");
        }
        redis.resume().expect("it runs");
        // Leases of these lookups last for ten minutes.
        eventually("the lease is free", async || {
            let found = tier.lookup(key).await;
            found.is_ok_and(|found| matches!(found.lease, Granted::Ours(_)))
        })
        .await;
    }
}

#[tokio::test]
async fn calls_beyond_the_bound_are_turned_away() {
    let redis = owned().await;
    let tier = Tier::open(&redis.url(), Duration::from_secs(2));
    tier.link.connected().await;
    signal(&redis, Signal::STOP);
    let lookups = (0..1000).map(|n| {
        let shared = tier.shared.clone();
        tokio::spawn(async move { shared.lookup(&lookup(&format!("{n}"))).await })
    });
    let lookups: Vec<_> = lookups.collect();
    let mut turned_away = 0;
    for lookup in lookups {
        let outcome = lookup.await.expect("no panic");
        if let Err(SharedError::Unavailable(_)) = outcome {
            turned_away += 1;
        }
    }
    signal(&redis, Signal::CONT);
    // 256 are under way and as many wait.
    assert!(turned_away >= 1000 - 2 * 256, "{turned_away}");
    answers_again(&tier).await;
}

#[tokio::test]
async fn a_wrong_password_is_a_refusal_that_does_not_tell_it() {
    let redis = owned().await;
    let url = redis.url();
    let (start, end) = url
        .split_once("redis://:")
        .zip(url.split_once('@'))
        .map_or_else(
            || panic!("the URL has a password"),
            |((start, _), (_, end))| (start, end),
        );
    let tier = Tier::open(
        &format!("{start}redis://:secret@{end}"),
        Duration::from_secs(10),
    );
    eventually("Redis refuses", async || {
        matches!(tier.lookup("k").await, Err(SharedError::Refused(why)) if !why.contains("secret"))
    })
    .await;
    assert!(!format!("{:?}", tier.link).contains("secret"));
}
