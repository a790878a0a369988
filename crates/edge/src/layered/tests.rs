use super::*;
use crate::slot::Received;
use futures::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use pitchey_http_cache::{Decision, Request, Response, Times};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

const START: i64 = 1_000_000_000;

fn start() -> Timestamp {
    Timestamp::from_unix(START)
}

#[derive(Debug, Default)]
struct Memory(Mutex<HashMap<String, Arc<Slot>>>);

impl Store for Memory {
    async fn get(&self, key: &str) -> Option<Arc<Slot>> {
        self.0.lock().expect("a lock").get(key).cloned()
    }

    async fn update(
        &self,
        key: &str,
        change: impl Fn(Option<&Arc<Slot>>) -> Option<Arc<Slot>> + Send + Sync,
    ) {
        let mut slots = self.0.lock().expect("a lock");
        match change(slots.get(key)) {
            Some(slot) => slots.insert(key.to_owned(), slot),
            None => slots.remove(key),
        };
    }

    async fn remove_prefix(&self, prefix: &str) -> bool {
        let mut slots = self.0.lock().expect("a lock");
        slots.retain(|key, _| !key.starts_with(prefix));
        true
    }

    fn largest_body(&self) -> u64 {
        1 << 20
    }

    fn size(&self) -> (u64, u64) {
        (self.0.lock().expect("a lock").len() as u64, 0)
    }
}

/// What edges share, which may be away. It counts what is put there.
#[derive(Clone, Debug, Default)]
struct Shared(Arc<Inner>);

type Values = Mutex<HashMap<String, (Bytes, Duration)>>;

#[derive(Debug, Default)]
struct Inner {
    values: Values,
    puts: AtomicU64,
    away: AtomicBool,
}

impl Shared {
    fn reached(&self) -> Result<&Values, Unheard> {
        let away = self.0.away.load(Ordering::Relaxed);
        if away {
            Err(Unheard)
        } else {
            Ok(&self.0.values)
        }
    }

    fn set_away(&self, away: bool) {
        self.0.away.store(away, Ordering::Relaxed);
    }
}

impl Nearby for Shared {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Unheard> {
        let values = self.reached()?.lock().expect("a lock");
        Ok(values.get(key).map(|(bytes, _)| bytes.clone()))
    }

    async fn put(&self, key: &str, value: Bytes, lasting: Duration) -> Result<(), Unheard> {
        let mut values = self.reached()?.lock().expect("a lock");
        values.insert(key.to_owned(), (value, lasting));
        self.0.puts.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn remove(&self, key: &str) -> Result<(), Unheard> {
        self.reached()?.lock().expect("a lock").remove(key);
        Ok(())
    }
}

fn edge(shared: &Shared) -> Layered<Memory, Shared> {
    let cache = SharedCache::default();
    Layered::new(Memory::default(), Some(shared.clone()), cache, start)
}

/// What would be stored of a response with this body and lifetime that came at this time.
fn slot(body: &str, lifetime: u64, at: i64) -> Arc<Slot> {
    let cache = SharedCache::default();
    let (method, uri) = (Method::GET, Uri::from_static("http://origin/a"));
    let none = HeaderMap::new();
    let request = Request {
        method: &method,
        uri: &uri,
        headers: &none,
    };
    let came = Timestamp::from_unix(at);
    let Decision::Forward(fetch) = cache.lookup(request, &[], came) else {
        panic!("nothing is stored");
    };
    let mut headers = HeaderMap::new();
    let control = format!("max-age={lifetime}");
    headers.insert(
        "cache-control",
        HeaderValue::try_from(control).expect("text"),
    );
    let response = Response {
        status: StatusCode::OK,
        headers: &headers,
    };
    let times = Times {
        request: came,
        response: came,
    };
    let outcome = cache.on_response(request, &fetch, response, times, &[]);
    let received = Received {
        bytes: Bytes::copy_from_slice(body.as_bytes()),
        complete: true,
    };
    let slot = Slot::default().changed(&outcome.changes, Some(&received), false);
    Arc::new(slot.expect("it is stored"))
}

fn now<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().expect("nothing waits here")
}

fn body(edge: &Layered<Memory, Shared>) -> Option<Bytes> {
    now(edge.get("/a")).and_then(|slot| slot.body(0).cloned())
}

fn store(edge: &Layered<Memory, Shared>, slot: &Arc<Slot>) {
    now(edge.update("/a", |_| Some(slot.clone())));
}

#[test]
fn a_slot_is_read_as_it_was_written_and_nothing_else_is_read() {
    let cache = SharedCache::default();
    let written = slot("hello", 60, START);
    let bytes = written.encode(&cache);
    let read = Slot::decode(&bytes, &cache).expect("it is one");
    assert_eq!(read.variants(), written.variants());
    assert_eq!(read.body(0).map(|body| &**body), Some(&b"hello"[..]));
    for end in 0..bytes.len() {
        assert!(Slot::decode(&bytes[..end], &cache).is_none(), "{end}");
    }
    let mut other = bytes.clone();
    other[0] += 1;
    assert!(Slot::decode(&other, &cache).is_none());
    let longer = [&*bytes, b"x"].concat();
    assert!(Slot::decode(&longer, &cache).is_none());
}

#[test]
fn what_one_edge_has_stored_another_one_finds_and_keeps() {
    let shared = Shared::default();
    let (one, other) = (edge(&shared), edge(&shared));
    store(&one, &slot("hello", 7_200, START));
    assert_eq!(body(&other).as_deref(), Some(&b"hello"[..]));
    let lasting = shared.0.values.lock().expect("a lock")["/a"].1;
    assert_eq!(lasting, Duration::from_hours(2));
    shared.set_away(true);
    assert_eq!(body(&other).as_deref(), Some(&b"hello"[..]));
    assert_eq!(body(&edge(&shared)), None);
}

#[test]
fn what_is_removed_is_gone_from_both_or_that_is_not_said() {
    let shared = Shared::default();
    let (one, other) = (edge(&shared), edge(&shared));
    store(&one, &slot("hello", 60, START));
    shared.set_away(true);
    assert!(!now(one.remove("/a")));
    shared.set_away(false);
    assert!(now(one.remove("/a")));
    assert_eq!((body(&one), body(&other)), (None, None));
    // Nobody can walk over what is shared.
    assert!(!now(one.remove_prefix("/")));
    let alone = Layered::new(
        Memory::default(),
        None::<Shared>,
        SharedCache::default(),
        start,
    );
    assert!(now(alone.remove_prefix("/")));
}

#[test]
fn what_was_removed_elsewhere_does_not_come_back_with_a_change() {
    let shared = Shared::default();
    let (one, other) = (edge(&shared), edge(&shared));
    store(&one, &slot("old", 60, START));
    assert!(now(other.remove("/a")));
    // A change of what is there changes nothing where nothing is.
    let next = slot("new", 60, START);
    now(one.update("/a", |there| there.map(|_| next.clone())));
    assert_eq!(body(&one).as_deref(), Some(&b"new"[..]));
    assert_eq!(body(&other), None);
}

#[test]
fn what_is_only_renewed_is_written_when_half_of_its_time_is_over() {
    let shared = Shared::default();
    let one = edge(&shared);
    let stored = slot("hello", 100, START - 40);
    store(&one, &stored);
    let puts = || shared.0.puts.load(Ordering::Relaxed);
    assert_eq!(puts(), 1);
    let renewed = |at: i64| {
        let fresh = slot("hello", 100, at);
        let change = pitchey_http_cache::Change::Update {
            variant: 0,
            stored: Box::new(fresh.variants()[0].clone()),
        };
        move |there: Option<&Arc<Slot>>| {
            let there = there.expect("it is stored");
            there
                .changed(std::slice::from_ref(&change), None, false)
                .map(Arc::new)
        }
    };
    now(one.update("/a", renewed(START)));
    assert_eq!(puts(), 1);
    store(&one, &slot("hello", 100, START - 60));
    assert_eq!(puts(), 2);
    now(one.update("/a", renewed(START)));
    assert_eq!(puts(), 3);
}
