//! An answer from memory allocates nothing. Its own program, since it counts what its allocator does.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use pitchey_cache::{
    Backplane, Cache, From, Kind, Load, Loaded, NoShared, Node, NodeConfig, Policy, SHARED_BREAKER,
    Source, Value,
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

#[tokio::test]
async fn a_hit_in_memory_allocates_nothing() {
    const HITS: u64 = 1000;
    let runtime = Background::new(SystemRuntime::new());
    let node = Arc::new(Node::alone(NodeConfig::default()));
    let backplane = Backplane::new(node, NoShared, runtime, Breaker::new(SHARED_BREAKER));
    let kinds = vec![("page", Policy::default())];
    let cache: Cache<Page, (), _, _, _> = Cache::new(backplane, MokaMemory::new(1 << 20), kinds);
    let page = Kind(0);
    let get = || {
        let answer = cache.get(page, "page/1", Pages).now_or_never();
        answer.expect("nothing is waited for").expect("an answer")
    };
    let loading = allocation_counter::measure(|| {
        assert_eq!(get().from, From::Source);
    });
    assert!(loading.count_total > 0, "it does count: {loading:?}");
    // The map underneath keeps house for each thread that comes for the first time.
    get();
    let mut hits = 0;
    let hitting = allocation_counter::measure(|| {
        for _ in 0..HITS {
            hits += u64::from(get().from == From::Memory);
        }
    });
    assert_eq!((hits, hitting.count_total), (HITS, 0));
}
