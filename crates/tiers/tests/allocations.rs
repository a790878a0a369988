//! An answer from memory allocates nothing. Its own program, since it counts what its allocator does.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::FutureExt as _;
use pitchey_cache::{
    Backplane, Cache, Entry, From, Kind, Load, Loaded, Memory, NoShared, Node, NodeConfig, Policy,
    SHARED_BREAKER, Source, Value,
};
use pitchey_resilience::Breaker;
use pitchey_runtime::{Background, SystemRuntime};
use pitchey_tiers::MokaMemory;

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

#[derive(Clone, Copy)]
struct Pages;

impl Source<Page, ()> for Pages {
    fn tags(&self) -> Vec<Box<str>> {
        vec!["pitch:1".into(), "creator:1".into(), "list:new".into()]
    }

    async fn load(&self, _: Load) -> Result<Loaded<Page>, ()> {
        Ok(Loaded::new(Page(Bytes::from(vec![7; 1024]))))
    }
}

/// One entry, and no house to keep.
#[derive(Default)]
struct One(Mutex<Option<Arc<Entry<Page>>>>);

impl Memory<Page> for One {
    fn get(&self, _: &str) -> Option<Arc<Entry<Page>>> {
        self.0.lock().expect("no panic").clone()
    }

    fn insert(
        &self,
        _: Arc<str>,
        entry: Arc<Entry<Page>>,
        _: impl FnOnce(&Entry<Page>) -> bool + Send,
    ) {
        *self.0.lock().expect("no panic") = Some(entry);
    }

    fn remove(&self, _: &str) {}

    fn remove_prefix(&self, _: &str) {}

    fn size(&self) -> (u64, u64) {
        (1, 0)
    }
}

const HITS: u64 = 10_000;

/// How often so many hits allocate.
fn allocations(memory: impl Memory<Page>) -> u64 {
    let runtime = Background::new(SystemRuntime::new());
    let node = Arc::new(Node::alone(NodeConfig::default()));
    let backplane = Backplane::new(node, NoShared, runtime, Breaker::new(SHARED_BREAKER));
    let kinds = vec![("page", Policy::default())];
    let cache: Cache<Page, (), _, _, _> = Cache::new(backplane, memory, kinds);
    let get = || {
        let answer = cache.get(Kind(0), "page/1", Pages).now_or_never();
        answer.expect("nothing is waited for").expect("an answer")
    };
    let loading = allocation_counter::measure(|| {
        assert_eq!(get().from, From::Source);
    });
    assert!(loading.count_total > 0, "it does count: {loading:?}");
    let mut hits = 0;
    let hitting = allocation_counter::measure(|| {
        for _ in 0..HITS {
            hits += u64::from(get().from == From::Memory);
        }
    });
    assert_eq!(hits, HITS);
    hitting.count_total
}

#[tokio::test]
async fn a_hit_in_memory_allocates_nothing() {
    assert_eq!(allocations(One::default()), 0);
}

/// moka keeps house now and then: it notes reads in a buffer, and goes through that when it is full.
#[tokio::test]
async fn over_moka_only_its_housekeeping_allocates() {
    let allocations = allocations(MokaMemory::new(1 << 20));
    eprintln!("{allocations} allocations in {HITS} hits");
    assert!(allocations * 50 < HITS, "{allocations} in {HITS} hits");
}
