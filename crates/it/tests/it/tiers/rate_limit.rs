//! Rate limits over a real Redis.

use std::num::NonZeroU32;
use std::time::Duration;

use pitchey_cache::SharedError;
use pitchey_resilience::{Gcra, Quota};
use pitchey_runtime::Monotonic;
use pitchey_tiers::RedisRateLimiter;
use rustix::process::{Pid, Signal, kill_process};

use super::{OverRedis, Tier, eventually, owned};

fn quota(burst: u32, interval: Duration) -> Quota {
    Quota::new(NonZeroU32::new(burst).expect("more than none"), interval)
}

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn two_nodes_together_allow_no_more_than_the_quota() {
    let redis = OverRedis::new().await;
    let other = Tier::connect(&redis.redis.url()).await;
    let quota = quota(20, HOUR);
    let checks = (0..100).map(|n| {
        let tier = if n % 2 == 0 { &redis.tier } else { &other };
        let limiter = RedisRateLimiter::new(tier.link.clone(), "login", quota);
        tokio::spawn(async move { limiter.check("client").await })
    });
    let checks: Vec<_> = checks.collect();
    let mut remaining = Vec::new();
    for check in checks {
        let verdict = check.await.expect("no panic").expect("Redis answers");
        assert_eq!(verdict.limit, 20);
        if verdict.allowed {
            remaining.push(verdict.remaining);
        } else {
            assert!(verdict.remaining == 0 && !verdict.retry_after.is_zero());
        }
    }
    remaining.sort_unstable();
    assert!(
        remaining.into_iter().eq(0..20),
        "each was told another rest"
    );
}

#[tokio::test]
async fn verdicts_are_those_of_a_limiter_of_ones_own() {
    let redis = OverRedis::new().await;
    let quota = quota(3, HOUR);
    let limiter = RedisRateLimiter::new(redis.tier.link.clone(), "login", quota);
    let mut own = Gcra::default();
    for _ in 0..5 {
        let theirs = limiter.check("client").await.expect("Redis answers");
        let ours = own.check(quota, Monotonic::START);
        assert_eq!(
            (theirs.allowed, theirs.limit, theirs.remaining),
            (ours.allowed, ours.limit, ours.remaining)
        );
        // Theirs has gone on by the time of the test.
        let within = |theirs: Duration, ours: Duration| {
            theirs <= ours && theirs + Duration::from_mins(10) > ours
        };
        assert!(within(theirs.reset_after, ours.reset_after), "{theirs:?}");
        assert!(within(theirs.retry_after, ours.retry_after), "{theirs:?}");
    }
}

#[tokio::test]
async fn keys_and_names_count_apart() {
    let redis = OverRedis::new().await;
    let quota = quota(1, HOUR);
    for name in ["login", "search"] {
        let limiter = RedisRateLimiter::new(redis.tier.link.clone(), name, quota);
        for key in ["a", "b"] {
            assert!(limiter.check(key).await.expect("Redis answers").allowed);
            assert!(!limiter.check(key).await.expect("Redis answers").allowed);
        }
    }
}

#[tokio::test]
async fn after_the_time_that_was_told_the_next_may_pass() {
    let redis = OverRedis::new().await;
    let quota = quota(1, Duration::from_millis(100));
    let limiter = RedisRateLimiter::new(redis.tier.link.clone(), "login", quota);
    assert!(limiter.check("a").await.expect("Redis answers").allowed);
    let mut refused = 0;
    loop {
        let verdict = limiter.check("a").await.expect("Redis answers");
        if verdict.allowed {
            break;
        }
        refused += 1;
        // The machine may be slow, but the server's clock is the one that counts.
        assert!(refused <= 2, "the wait that was told was not enough");
        tokio::time::sleep(verdict.retry_after + Duration::from_millis(1)).await;
    }
    // Nothing is left of a key that is whole again.
    let left: i64 = redis.ask(&["PTTL", "it[*]:r:login:a"]).await;
    assert!(left <= 100, "{left}");
}

#[tokio::test]
async fn an_interval_of_zero_allows_everything() {
    let redis = OverRedis::new().await;
    let limiter = RedisRateLimiter::new(redis.tier.link.clone(), "login", quota(1, Duration::ZERO));
    for _ in 0..5 {
        let verdict = limiter.check("a").await.expect("Redis answers");
        assert!(verdict.allowed);
        assert_eq!(
            (verdict.remaining, verdict.reset_after),
            (1, Duration::ZERO)
        );
    }
}

#[tokio::test]
async fn a_server_that_hangs_gives_no_verdict() {
    let redis = owned().await;
    let tier = Tier::open(&redis.url(), Duration::from_millis(200));
    tier.link.connected().await;
    let limiter = RedisRateLimiter::new(tier.link.clone(), "login", quota(1, HOUR));
    let pid = Pid::from_raw(redis.pid().expect("it runs").cast_signed()).expect("a process");
    kill_process(pid, Signal::STOP).expect("it is ours");
    let failed = limiter.check("a").await.expect_err("it hangs");
    assert!(matches!(failed, SharedError::Timeout), "{failed}");
    kill_process(pid, Signal::CONT).expect("it is ours");
    eventually("Redis answers again", async || {
        limiter.check("a").await.is_ok()
    })
    .await;
}
