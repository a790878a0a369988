//! What an answer from memory costs through the whole engine, beside what the map underneath costs; and
//! what it costs to wait for a load that somebody else is at.
//!
//! `cargo xtask bench memory_hit`. The aim is 0.6 of the bare map's hits at least.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};
use futures::FutureExt as _;
use pitchey_cache::{
    Backplane, Cache, Kind, Load, Loaded, Memory, NoShared, Node, NodeConfig, Policy,
    SHARED_BREAKER, Source, Value,
};
use pitchey_resilience::Breaker;
use pitchey_runtime::{Background, SystemRuntime};
use pitchey_tiers::MokaMemory;

const PAGES: usize = 10_000;
const WAITERS: usize = 1000;
const PAGE: Kind = Kind(0);

/// A body of a kilobyte, shared as responses are.
#[derive(Clone)]
struct Page(Bytes);

impl Value for Page {
    const SCHEMA: u16 = 1;

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.0);
    }

    fn decode(bytes: Bytes) -> Option<Self> {
        Some(Self(bytes))
    }

    fn weight(&self) -> usize {
        self.0.len()
    }
}

/// Gives a page once it is let.
#[derive(Clone)]
struct Pages {
    number: usize,
    open: Arc<AtomicBool>,
}

impl Source<Page, ()> for Pages {
    fn tags(&self) -> Vec<Box<str>> {
        let number = self.number;
        vec![
            format!("pitch:{number}").into(),
            format!("creator:{}", number % 500).into(),
            "list:new".into(),
        ]
    }

    async fn load(&self, _: Load) -> Result<Loaded<Page>, ()> {
        std::future::poll_fn(|_| {
            if self.open.load(Ordering::Relaxed) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        Ok(Loaded::new(Page(Bytes::from(vec![7; 1024]))))
    }
}

type Engine = Cache<Page, (), MokaMemory<Page>, NoShared, Background>;

fn engine() -> Engine {
    let runtime = Background::new(SystemRuntime::new());
    let node = Arc::new(Node::alone(NodeConfig::default()));
    let breaker = Breaker::new(SHARED_BREAKER);
    let backplane = Backplane::new(node, NoShared, runtime, breaker);
    let hour = std::time::Duration::from_hours(1);
    let policy = Policy {
        memory: hour * 24,
        shared: hour * 24,
        fresh: hour * 24,
        ..Policy::default()
    };
    Cache::new(backplane, MokaMemory::new(1 << 30), vec![("page", policy)])
}

fn key(number: usize) -> String {
    format!("pitch_detail/1/018f2a6c-7d3e-7000-8000-{number:012}")
}

fn source(number: usize, open: bool) -> Pages {
    Pages {
        number,
        open: Arc::new(AtomicBool::new(open)),
    }
}

fn hits(criterion: &mut Criterion) {
    // Each walks through the same keys in the same order, which is none.
    let keys: Vec<String> = (0..PAGES).map(|n| key(n * 7919 % PAGES)).collect();
    let value = Page(Bytes::from(vec![7; 1024]));
    let mut group = criterion.benchmark_group("memory_hit");
    group.throughput(Throughput::Elements(1));

    let default: moka::sync::Cache<Arc<str>, Arc<Page>> = moka::sync::Cache::new(PAGES as u64 * 2);
    let same = moka::sync::Cache::builder()
        .max_capacity(PAGES as u64 * 2)
        .build_with_hasher(foldhash::fast::RandomState::default());
    for key in &keys {
        default.insert(key.as_str().into(), Arc::new(value.clone()));
        same.insert(Arc::<str>::from(key.as_str()), Arc::new(value.clone()));
    }
    let mut walk = keys.iter().cycle();
    group.bench_function("bare moka, its hasher", |bencher| {
        bencher.iter(|| default.get(walk.next().expect("a cycle").as_str()));
    });
    let mut walk = keys.iter().cycle();
    group.bench_function("bare moka, same hasher", |bencher| {
        bencher.iter(|| same.get(walk.next().expect("a cycle").as_str()));
    });

    let engine = engine();
    for (n, key) in keys.iter().enumerate() {
        let loaded = engine.get(PAGE, key, source(n, true)).now_or_never();
        assert!(loaded.is_some_and(|loaded| loaded.is_ok()));
    }
    let memory = MokaMemory::<Page>::new(1 << 30);
    for key in &keys {
        let entry = engine.peek(key).expect("it was loaded");
        memory.insert(key.as_str().into(), entry, |_| false);
    }
    let mut walk = keys.iter().cycle();
    group.bench_function("memory tier", |bencher| {
        bencher.iter(|| memory.get(walk.next().expect("a cycle")));
    });
    let from = source(0, true);
    let mut walk = keys.iter().cycle();
    group.bench_function("engine", |bencher| {
        bencher.iter(|| {
            let got = engine.get(PAGE, walk.next().expect("a cycle"), from.clone());
            black_box(got.now_or_never())
        });
    });
    group.finish();
}

fn waiters(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("coalescing");
    group.throughput(Throughput::Elements(WAITERS as u64));
    let engine = engine();
    let mut number = 0;
    group.bench_function("a thousand who wait for one load", |bencher| {
        bencher.iter_batched(
            || {
                number += 1;
                (key(number), source(number, false))
            },
            |(key, source)| {
                let mut context = Context::from_waker(Waker::noop());
                let mut readers: Vec<_> = (0..=WAITERS)
                    .map(|_| Box::pin(engine.get(PAGE, &key, source.clone())))
                    .collect();
                for reader in &mut readers {
                    assert!(reader.as_mut().poll(&mut context).is_pending());
                }
                source.open.store(true, Ordering::Relaxed);
                for reader in &mut readers {
                    let polled = reader.as_mut().poll(&mut context);
                    assert!(matches!(polled, Poll::Ready(Ok(_))));
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn main() {
    // Waiting takes a timer.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a timer");
    let _inside = runtime.enter();
    let mut criterion = Criterion::default().configure_from_args();
    hits(&mut criterion);
    waiters(&mut criterion);
    criterion.final_summary();
}
