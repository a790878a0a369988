//! The real engine with the real memory, over time that passes as the trace says.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use pitchey_cache::{
    Backplane, Cache, From, Kind, Load, Loaded, NoShared, Node, NodeConfig, Policy, SHARED_BREAKER,
    Source, Value,
};
use pitchey_resilience::Breaker;
use pitchey_runtime::{Clock, ManualRuntime, Monotonic, Random, Spawn, Timer};
use pitchey_tiers::MokaMemory;

pub(crate) const PAGE: Kind = Kind(0);

/// Time by hand, and work behind answers that is done when it is called for.
#[derive(Clone)]
pub(crate) struct Replay {
    pub(crate) time: ManualRuntime,
    behind: Arc<Mutex<Vec<BoxFuture<'static, ()>>>>,
}

impl Replay {
    /// Does what can be done now of the work behind answers.
    pub(crate) fn work(&self) {
        loop {
            let lock = || self.behind.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(work) = lock().pop() else { return };
            // Nothing here ever waits but for the pause after a failure, and nothing fails.
            work.now_or_never();
        }
    }
}

impl Clock for Replay {
    fn now(&self) -> Monotonic {
        self.time.now()
    }

    fn wall(&self) -> time::OffsetDateTime {
        self.time.wall()
    }
}

impl Timer for Replay {
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.time.sleep(duration)
    }
}

impl Random for Replay {
    fn fill(&self, bytes: &mut [u8]) {
        self.time.fill(bytes);
    }
}

impl Spawn for Replay {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        behind.push(work.boxed());
    }
}

/// A value of a fixed weight.
pub(crate) struct Sized4k;

impl Value for Sized4k {
    const SCHEMA: u16 = 1;

    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(_: Bytes) -> Option<Self> {
        Some(Self)
    }

    fn weight(&self) -> usize {
        4096
    }
}

/// Counts the loads.
#[derive(Clone)]
pub(crate) struct Counted {
    pub(crate) tag: Option<Box<str>>,
    pub(crate) loads: Arc<AtomicU64>,
}

impl Source<Sized4k, ()> for Counted {
    fn tags(&self) -> Vec<Box<str>> {
        self.tag.clone().into_iter().collect()
    }

    async fn load(&self, _: Load) -> Result<Loaded<Sized4k>, ()> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        Ok(Loaded::new(Sized4k))
    }
}

pub(crate) type Engine = Cache<Sized4k, (), MokaMemory<Sized4k>, NoShared, Replay>;

/// An engine without a shared tier whose memory has room for so many entries.
pub(crate) fn engine(entries: usize, policy: &Policy) -> (Engine, Replay) {
    let replay = Replay {
        time: ManualRuntime::new(1),
        behind: Arc::default(),
    };
    let build = |bytes| {
        let node = Arc::new(Node::alone(NodeConfig::default()));
        let breaker = Breaker::new(SHARED_BREAKER);
        let backplane = Backplane::new(node, NoShared, replay.clone(), breaker);
        Cache::new(
            backplane,
            MokaMemory::new(bytes),
            vec![("page", policy.clone())],
        )
    };
    // What one entry weighs, with all that stands around it.
    let probe: Engine = build(1 << 20);
    let source = Counted {
        tag: None,
        loads: Arc::default(),
    };
    let loaded = probe.get(PAGE, &name(0), source).now_or_never();
    let answer = loaded.expect("nothing waits").expect("nothing fails");
    let weight = u64::from(answer.entry.weight());
    (build(weight * entries as u64), replay)
}

/// All of a length.
pub(crate) fn name(key: u64) -> String {
    format!("page/{key:012}")
}

/// Replays keys for which time stands still: how many were answered from memory.
pub(crate) fn replay(keys: &[u64], entries: usize) -> u64 {
    let (engine, _) = engine(entries, &Policy::default());
    let source = Counted {
        tag: None,
        loads: Arc::default(),
    };
    let mut hits = 0;
    for key in keys {
        let got = engine.get(PAGE, &name(*key), source.clone()).now_or_never();
        let answer = got.expect("nothing waits").expect("nothing fails");
        hits += u64::from(answer.from == From::Memory);
    }
    hits
}
