//! The shared tier over a real Redis: it keeps the contract of its port, whatever happens to the server.

mod faults;
mod follower;
mod rate_limit;
mod rest;

use std::future::Future;
use std::time::Duration;

use pitchey_cache::shared::contract::{self, Harness};
use pitchey_cache::shared::{
    Fill, Filled, Found, Granted, Lookup, Meta, Shared as _, Stored, Wish,
};
use pitchey_cache::{Lease, SharedError};
use pitchey_runtime::{Clock as _, Monotonic, SystemRuntime};
use pitchey_testkit::{OwnedRedis, TestRedis};
use pitchey_tiers::{RedisConfig, RedisLink, RedisShared};
use redis::FromRedisValue;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node's way to Redis.
struct Tier {
    link: RedisLink<SystemRuntime>,
    shared: RedisShared<SystemRuntime>,
    runtime: SystemRuntime,
    stop: CancellationToken,
    _stops: DropGuard,
}

impl Tier {
    /// Connects; calls may take long, as machines under test do.
    async fn connect(url: &str) -> Self {
        let tier = Self::open(url, Duration::from_secs(10));
        tokio::time::timeout(PATIENCE, tier.link.connected())
            .await
            .expect("Redis can be reached");
        tier
    }

    fn open(url: &str, call_timeout: Duration) -> Self {
        let runtime = SystemRuntime::new();
        let config = RedisConfig {
            call_timeout,
            connect_timeout: Duration::from_secs(10),
            reconnect_after: (Duration::from_millis(10), Duration::from_millis(100)),
            prefix: "it[*]:".to_owned(),
            ..RedisConfig::new(url.to_owned().into())
        };
        let link = RedisLink::new(config, runtime).expect("the URL is one");
        let stop = CancellationToken::new();
        let (connecting, until) = (link.clone(), stop.clone());
        tokio::spawn(async move { connecting.keep_connected(&until).await });
        Self {
            shared: RedisShared::new(link.clone()),
            link,
            runtime,
            _stops: stop.clone().drop_guard(),
            stop,
        }
    }

    fn now(&self) -> Monotonic {
        self.runtime.now()
    }

    async fn lookup(&self, key: &str) -> Result<Found, SharedError> {
        self.shared.lookup(&lookup(key)).await
    }

    async fn lease(&self, key: &str) -> Lease {
        match self.lookup(key).await.expect("Redis answers").lease {
            Granted::Ours(lease) => lease,
            other => panic!("the lease is free, and not {other:?}"),
        }
    }

    async fn fill(&self, key: &str, lease: Lease) -> Result<Filled, SharedError> {
        self.shared.fill(fill(key, lease)).await
    }

    async fn given(&self, key: &str) {
        let lease = self.lease(key).await;
        assert_eq!(self.fill(key, lease).await.ok(), Some(Filled::Stored));
    }

    async fn has(&self, key: &str) -> bool {
        self.lookup(key)
            .await
            .expect("Redis answers")
            .entry
            .is_some()
    }
}

fn lookup(key: &str) -> Lookup {
    Lookup {
        key: key.into(),
        wish: Wish::IfStale,
        lease: Duration::from_mins(10),
        tags: vec!["t".into()],
        keep: Duration::from_mins(10),
    }
}

fn fill(key: &str, lease: Lease) -> Fill {
    Fill {
        key: key.into(),
        lease,
        entry: Stored {
            as_of: lease.as_of,
            age: Duration::ZERO,
            meta: Meta {
                fresh_ms: 600_000,
                stale_ms: 600_000,
                error_ms: 600_000,
                cost_us: 1,
                absent: false,
            },
            tags: vec!["t".into()],
            softened: false,
            payload: "text".into(),
        },
        keep: Duration::from_mins(10),
    }
}

/// Asks a server directly.
async fn ask<T: FromRedisValue>(url: &str, command: &[&str]) -> T {
    let client = redis::Client::open(url).expect("the URL is one");
    let connection = client.get_multiplexed_async_connection().await;
    let mut call = redis::cmd(command[0]);
    call.arg(&command[1..]);
    call.query_async(&mut connection.expect("Redis can be reached"))
        .await
        .expect("Redis answers")
}

/// Waits until it is so.
async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn owned() -> OwnedRedis {
    tokio::task::spawn_blocking(OwnedRedis::start)
        .await
        .expect("the task ends")
        .expect("Redis starts")
}

struct OverRedis {
    redis: TestRedis,
    tier: Tier,
}

impl OverRedis {
    async fn new() -> Self {
        let redis = TestRedis::new().await;
        let tier = Tier::connect(&redis.url()).await;
        Self { redis, tier }
    }

    async fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        ask(&self.redis.url(), command).await
    }
}

impl Harness for OverRedis {
    type Shared = RedisShared<SystemRuntime>;

    fn shared(&self) -> &Self::Shared {
        &self.tier.shared
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn forget_tag(&self, tag: &str) {
        let key = format!("it[*]:t:{tag}");
        let _: u64 = self.ask(&["UNLINK", &key]).await;
    }

    async fn lose_all(&mut self) {
        let _: () = self.ask(&["FLUSHDB"]).await;
    }

    async fn set_back(&mut self) {
        // What a snapshot of another process would hold.
        let _: u64 = self
            .ask(&["HSET", "it[*]:clock", "run_id", "another"])
            .await;
        self.tier = Tier::connect(&self.redis.url()).await;
    }
}

contract::suite!(over_redis, OverRedis::new());

#[tokio::test]
async fn scripts_that_the_server_has_forgotten_are_given_to_it_again() {
    let over = OverRedis::new().await;
    over.tier.given("k").await;
    let _: () = over.ask(&["SCRIPT", "FLUSH"]).await;
    assert!(over.tier.has("k").await);
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_sent() {
    let over = OverRedis::new().await;
    let lease = over.tier.lease("k").await;
    let mut large = fill("k", lease);
    large.entry.payload = vec![0; (4 << 20) + 1].into();
    let refused = over.tier.shared.fill(large).await;
    assert!(
        matches!(refused, Err(SharedError::Refused(_))),
        "{refused:?}"
    );
    let mut many = fill("k", lease);
    many.entry.tags = (0..257).map(|n| n.to_string().into()).collect();
    let refused = over.tier.shared.fill(many).await;
    assert!(
        matches!(refused, Err(SharedError::Refused(_))),
        "{refused:?}"
    );
    assert_eq!(over.tier.fill("k", lease).await.ok(), Some(Filled::Stored));
}

#[tokio::test]
async fn invalidations_that_nothing_carries_leave_no_keys() {
    let over = OverRedis::new().await;
    for n in 0..100 {
        let tags = [format!("t:{n}").into()];
        let strength = pitchey_cache::shared::Strength::Hard;
        over.tier
            .shared
            .invalidate(&tags, strength, pitchey_cache::Position::default())
            .await
            .expect("Redis answers");
    }
    let mut keys: Vec<String> = over.ask(&["KEYS", "*"]).await;
    keys.sort();
    assert_eq!(keys, ["it[*]:clock", "it[*]:stream"]);
}

#[tokio::test]
async fn everything_but_clock_and_stream_expires() {
    let over = OverRedis::new().await;
    over.tier.given("k").await;
    over.tier.lease("leased").await;
    for (key, expires) in [
        ("it[*]:e:k", true),
        ("it[*]:t:t", true),
        ("it[*]:l:leased", true),
        // A server that evicts what expires keeps it.
        ("it[*]:clock", false),
    ] {
        let left: i64 = over.ask(&["PTTL", key]).await;
        assert_eq!(left > 0, expires, "{key}: {left}");
        assert_ne!(left, -2, "{key} is there");
    }
}

#[tokio::test]
async fn the_numbers_of_a_tag_outlive_the_longest_entry() {
    let over = OverRedis::new().await;
    let keep = |minutes| Lookup {
        keep: Duration::from_mins(minutes),
        ..lookup(&format!("{minutes}"))
    };
    for (minutes, at_least) in [(10, 10), (100, 100), (1, 100)] {
        over.tier
            .shared
            .lookup(&keep(minutes))
            .await
            .expect("Redis answers");
        let left: i64 = over.ask(&["TTL", "it[*]:t:t"]).await;
        assert!(left > (at_least - 1) * 60, "{left} s after {minutes} min");
    }
}
