//! What the shared tier costs beside the bare commands of Redis, over the same sort of connection.
//!
//! `cargo xtask bench redis_tier` starts a Redis for it; by itself it takes the one of `REDIS_URL`, and
//! leaves nothing there but what expires.

use std::env;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use futures::future::try_join_all;
use pitchey_cache::Position;
use pitchey_cache::shared::{
    Fill, Filled, Granted, Lookup, Meta, Shared as _, Stored, Strength, Wish,
};
use pitchey_runtime::SystemRuntime;
use pitchey_tiers::{RedisConfig, RedisLink, RedisShared};
use redis::aio::MultiplexedConnection;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const PREFIX: &str = "pitchey:bench:";
const KEEP: Duration = Duration::from_mins(10);
/// As many as a detail has.
const TAGS: [&str; 4] = ["pitch:1", "creator:2", "list:new", "search"];
/// What is filled at once while a benchmark is set up.
const AT_ONCE: usize = 1000;

struct Bench {
    shared: RedisShared<SystemRuntime>,
    bare: MultiplexedConnection,
}

fn main() {
    let runtime = Runtime::new().expect("threads can be started");
    let url = env::var("REDIS_URL").expect("REDIS_URL names a Redis");
    let config = RedisConfig {
        prefix: PREFIX.to_owned(),
        call_timeout: Duration::from_secs(10),
        ..RedisConfig::new(url.clone().into())
    };
    let link = RedisLink::new(config, SystemRuntime::new()).expect("REDIS_URL is a URL");
    let stop = CancellationToken::new();
    let connecting = link.clone();
    let until = stop.clone();
    runtime
        .handle()
        .spawn(async move { connecting.keep_connected(&until).await });
    let bare = runtime.block_on(async {
        link.connected().await;
        let client = redis::Client::open(url).expect("REDIS_URL is a URL");
        client.get_multiplexed_async_connection().await
    });
    let bench = Bench {
        shared: RedisShared::new(link),
        bare: bare.expect("Redis can be reached"),
    };

    let mut criterion = Criterion::default().configure_from_args();
    hits(&mut criterion, &runtime, &bench);
    batches(&mut criterion, &runtime, &bench);
    invalidations(&mut criterion, &runtime, &bench);
    criterion.final_summary();
    runtime.block_on(bench.clean_up());
    stop.cancel();
}

/// One entry, in Redis and nowhere else.
fn hits(criterion: &mut Criterion, runtime: &Runtime, bench: &Bench) {
    let mut group = criterion.benchmark_group("redis hit");
    for kib in [1, 16] {
        let payload = Bytes::from(vec![b'x'; kib << 10]);
        let key = format!("{kib} KiB");
        runtime.block_on(bench.fill(std::slice::from_ref(&key), &payload, &TAGS));
        group.throughput(Throughput::Bytes(payload.len() as u64));
        let bare_key = format!("{PREFIX}e:bare:{key}");
        runtime.block_on(bench.set(&bare_key, &payload));
        group.bench_function(BenchmarkId::new("bare GET", &key), |bencher| {
            bencher.to_async(runtime).iter(|| async {
                let mut get = redis::cmd("GET");
                get.arg(&bare_key);
                let found: Vec<u8> = get
                    .query_async(&mut bench.bare.clone())
                    .await
                    .expect("Redis answers");
                assert_eq!(found.len(), payload.len());
            });
        });
        let lookup = lookup(&key, &TAGS);
        group.bench_function(BenchmarkId::new("lookup", &key), |bencher| {
            bencher.to_async(runtime).iter(|| async {
                let found = bench.shared.lookup(&lookup).await.expect("Redis answers");
                assert_eq!(
                    found.entry.expect("it was filled").payload.len(),
                    payload.len()
                );
            });
        });
    }
    group.finish();
}

/// A hundred entries of 1 KiB with four tags each.
fn batches(criterion: &mut Criterion, runtime: &Runtime, bench: &Bench) {
    let payload = Bytes::from(vec![b'x'; 1 << 10]);
    let keys: Vec<String> = (0..100).map(|n| format!("batch:{n}")).collect();
    let bare_keys: Vec<String> = keys
        .iter()
        .map(|key| format!("{PREFIX}e:bare:{key}"))
        .collect();
    runtime.block_on(async {
        bench.fill(&keys, &payload, &TAGS).await;
        for key in &bare_keys {
            bench.set(key, &payload).await;
        }
    });
    let lookups: Vec<Lookup> = keys.iter().map(|key| lookup(key, &TAGS)).collect();
    let mut group = criterion.benchmark_group("redis batch of 100");
    group.throughput(Throughput::Elements(100));
    group.bench_function("bare MGET", |bencher| {
        bencher.to_async(runtime).iter(|| async {
            let mut get = redis::cmd("MGET");
            get.arg(&bare_keys);
            let found: Vec<Vec<u8>> = get
                .query_async(&mut bench.bare.clone())
                .await
                .expect("Redis answers");
            assert_eq!(found.len(), 100);
        });
    });
    group.bench_function("one script", |bencher| {
        bencher.to_async(runtime).iter(|| async {
            let found = bench
                .shared
                .lookup_many(&lookups)
                .await
                .expect("Redis answers");
            assert!(found.iter().all(|found| found.entry.is_some()));
        });
    });
    group.bench_function("a pipeline of scripts", |bencher| {
        bencher.to_async(runtime).iter(|| async {
            let all = lookups.iter().map(|lookup| bench.shared.lookup(lookup));
            let found = try_join_all(all).await.expect("Redis answers");
            assert!(found.iter().all(|found| found.entry.is_some()));
        });
    });
    group.finish();
}

/// However many entries carry the tag.
fn invalidations(criterion: &mut Criterion, runtime: &Runtime, bench: &Bench) {
    let payload = Bytes::from_static(b"0123456789abcdef");
    let mut group = criterion.benchmark_group("redis invalidation");
    for carriers in [1, 1_000, 100_000] {
        let tag = format!("carried by {carriers}");
        let keys: Vec<String> = (0..carriers).map(|n| format!("{tag}:{n}")).collect();
        runtime.block_on(async {
            for keys in keys.chunks(AT_ONCE) {
                bench.fill(keys, &payload, &[&tag]).await;
            }
        });
        let tags = [Box::from(&*tag)];
        group.bench_function(BenchmarkId::new("entries", carriers), |bencher| {
            bencher.to_async(runtime).iter(|| async {
                let raised = bench
                    .shared
                    .invalidate(&tags, Strength::Hard, Position::default());
                raised.await.expect("Redis answers");
            });
        });
    }
    group.finish();
}

fn lookup(key: &str, tags: &[&str]) -> Lookup {
    Lookup {
        key: key.into(),
        wish: Wish::IfStale,
        lease: KEEP,
        tags: tags.iter().map(|tag| Box::from(*tag)).collect(),
        keep: KEEP,
    }
}

impl Bench {
    async fn fill(&self, keys: &[String], payload: &Bytes, tags: &[&str]) {
        let lookups: Vec<Lookup> = keys.iter().map(|key| lookup(key, tags)).collect();
        let found = self
            .shared
            .lookup_many(&lookups)
            .await
            .expect("Redis answers");
        let fills = lookups
            .into_iter()
            .zip(found)
            .filter_map(|(lookup, found)| {
                let Granted::Ours(lease) = found.lease else {
                    return None;
                };
                Some(Fill {
                    key: lookup.key,
                    lease,
                    entry: Stored {
                        as_of: lease.as_of,
                        age: Duration::ZERO,
                        meta: Meta {
                            fresh_ms: 600_000,
                            stale_ms: 600_000,
                            error_ms: 600_000,
                            cost_us: 0,
                            absent: false,
                        },
                        tags: lookup.tags,
                        softened: false,
                        payload: payload.clone(),
                    },
                    keep: KEEP,
                })
            });
        let filled = self
            .shared
            .fill_many(fills.collect())
            .await
            .expect("Redis answers");
        assert_eq!(filled, vec![Filled::Stored; keys.len()]);
    }

    async fn set(&self, key: &str, payload: &Bytes) {
        let mut set = redis::cmd("SET");
        set.arg(key).arg(payload.as_ref()).arg("PX").arg(600_000);
        let _: () = set
            .query_async(&mut self.bare.clone())
            .await
            .expect("Redis answers");
    }

    async fn clean_up(&self) {
        self.shared
            .remove_prefix("", Position::default())
            .await
            .expect("Redis answers");
        let mut unlink = redis::cmd("UNLINK");
        unlink
            .arg(format!("{PREFIX}clock"))
            .arg(format!("{PREFIX}stream"));
        let _: u64 = unlink
            .query_async(&mut self.bare.clone())
            .await
            .expect("Redis answers");
    }
}
