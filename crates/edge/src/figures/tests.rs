use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use http::{HeaderMap, HeaderValue, StatusCode};
use pitchey_api::RouteClass;
use time::OffsetDateTime;

use super::*;
use crate::far::Far;
use crate::health::Status;

/// What nothing here waits for.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().expect("nobody waits")
}

/// The full hour that all of it begins at.
const HOUR: i64 = 1_800_000_000;

fn at(second: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(HOUR + second).expect("a time")
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn read(cache: &'static str, status: StatusCode) -> Answered {
    let mut headers = HeaderMap::new();
    headers.insert("cache-status", HeaderValue::from_static(cache));
    Answered::of(Class::Api(RouteClass::Read), status, &headers)
}

fn hit() -> Answered {
    read("edge; hit", StatusCode::OK)
}

fn miss() -> Answered {
    read("edge; fwd=uri-miss", StatusCode::OK)
}

fn summary(counts: &Counts) -> Summary {
    let mut window = Window::at(HOUR, 300);
    window.add("FRA", counts);
    window.summary()
}

#[test]
fn a_span_tells_its_shares_and_its_times() {
    let tally = Tally::default();
    for n in 0..100 {
        tally.count(hit(), ms(if n < 90 { 1 } else { 40 }));
    }
    for _ in 0..20 {
        tally.count(miss(), ms(100_000));
    }
    tally.count(read("edge; fwd=method", StatusCode::BAD_GATEWAY), ms(0));
    let told = summary(&tally.take());
    let Figures {
        requests,
        hit_rate,
        error_rate,
        p50_ms,
        p95_ms,
        p99_ms,
        per_second,
    } = told.all;
    assert_eq!((requests, hit_rate), (121, Some(100.0 / 120.0)));
    assert_eq!(error_rate, Some(1.0 / 121.0));
    assert!((per_second - 121.0 / 300.0).abs() < 1e-9);
    // Between 500 us and a millisecond, and what is longer than all bounds is as long as the last.
    let p50 = p50_ms.expect("there is one");
    assert!((0.5..=1.0).contains(&p50), "{p50}");
    assert_eq!((p95_ms, p99_ms), (Some(10_000.0), Some(10_000.0)));
    assert_eq!(told.classes["read"], told.locations["FRA"]);
    assert_eq!(
        summary(&tally.take()).all.p50_ms,
        None,
        "it was taken before"
    );
}

#[test]
fn what_is_added_up_is_as_if_it_had_been_counted_together() {
    let (one, other, both) = (Tally::default(), Tally::default(), Tally::default());
    for n in 0..200 {
        let (answered, took) = (if n % 3 == 0 { hit() } else { miss() }, ms(n));
        let part = if n % 2 == 0 { &one } else { &other };
        part.count(answered, took);
        both.count(answered, took);
    }
    let mut sum = one.take();
    // As it comes from elsewhere.
    let text = serde_json::to_vec(&other.take()).expect("JSON");
    sum.add(&serde_json::from_slice(&text).expect("the same"));
    assert_eq!(sum, both.take());
}

#[test]
fn a_ledger_has_the_last_hour_in_windows_and_then_hours() {
    let ledger = Ledger::new("FRA", at(10));
    assert_eq!(ledger.count(hit(), ms(1), at(10)), None);
    assert_eq!(ledger.count(hit(), ms(1), at(299)), None);
    assert_eq!(ledger.told(at(299)).windows, []);
    // One belongs to the next window; nothing at all comes in the one after that.
    assert_eq!(ledger.count(miss(), ms(1), at(300)), None);
    let told = ledger.told(at(900));
    let counts: Vec<_> = told
        .windows
        .iter()
        .map(|window| (&*window.from, window.all.requests))
        .collect();
    assert_eq!(
        counts,
        [("2027-01-15T08:05:00Z", 1), ("2027-01-15T08:00:00Z", 2)]
    );
    assert_eq!((told.hours.len(), told.windows[1].edges), (0, 1));
    let hour = ledger.count(miss(), ms(1), at(3600)).expect("it is over");
    assert_eq!((hour.all.requests, hour.all.hit_rate), (3, Some(2.0 / 3.0)));
    assert_eq!(ledger.told(at(3601)).hours, [hour]);
    for hour in 2..60 {
        ledger.count(hit(), ms(1), at(hour * 3600));
    }
    let told = ledger.told(at(60 * 3600));
    assert_eq!((told.windows.len(), told.hours.len()), (12, 48));
}

/// A far store in memory, which may be away.
#[derive(Default)]
struct Map {
    values: Mutex<BTreeMap<String, Bytes>>,
    is_away: Mutex<bool>,
}

impl Map {
    fn is_away(&self) -> bool {
        *self.is_away.lock().expect("no panic")
    }
}

impl Far for Map {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<Bytes>> {
        let value = self.values.lock().expect("no panic").get(key).cloned();
        ready(value.filter(|_| !self.is_away())).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Option<Vec<String>>> {
        let values = self.values.lock().expect("no panic");
        let keys = values.keys().filter(|key| key.starts_with(prefix));
        ready((!self.is_away()).then(|| keys.cloned().collect())).boxed()
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, _: Duration) -> BoxFuture<'a, bool> {
        let is_there = !self.is_away();
        if is_there {
            let mut values = self.values.lock().expect("no panic");
            values.insert(key.to_owned(), value);
        }
        ready(is_there).boxed()
    }
}

fn isolate(far: &Arc<Map>, name: &str) -> Collector {
    Collector::new(far.clone(), name.to_owned())
}

#[test]
fn isolates_are_added_up_once_whoever_does_it_and_how_often() {
    let far = Arc::<Map>::default();
    let (one, other, timer) = (
        isolate(&far, "one"),
        isolate(&far, "other"),
        isolate(&far, "timer"),
    );
    assert!(
        one.count(hit(), ms(1), at(5)),
        "the first one has it written"
    );
    assert!(!one.count(hit(), ms(1), at(6)), "and nobody beside it");
    assert!(block_on(one.write("FRA", at(5))));
    assert!(one.count(miss(), ms(1), at(40)));
    assert!(block_on(one.write("FRA", at(40))));
    assert!(other.count(miss(), ms(1), at(290)));
    // It is written when the window is over, and belongs to it.
    let parts = [("origin".to_owned(), Status::Ok)];
    assert!(block_on(timer.add_up(at(301), &parts)));
    assert_eq!(block_on(timer.told(at(301))).windows[0].all.requests, 3);
    assert!(block_on(other.write("SIN", at(290))));
    assert!(other.count(hit(), ms(1), at(300)));
    assert!(block_on(other.write("SIN", at(300))));
    for second in [600, 600, 601] {
        assert!(block_on(timer.add_up(at(second), &parts)));
    }
    let told = block_on(timer.told(at(602)));
    let of = |window: &Summary| (window.all.requests, window.edges, window.locations.len());
    let counts: Vec<_> = told.windows.iter().map(of).collect();
    assert_eq!(counts, [(1, 1, 1), (4, 2, 2), (0, 0, 0)]);
    assert_eq!(of(&told.hours[0]), (0, 0, 0), "that of before");
    assert!(block_on(timer.add_up(at(3600), &parts)));
    let hours = block_on(timer.told(at(3600))).hours;
    assert_eq!((hours.len(), of(&hours[0])), (2, (5, 2, 2)));
    assert_eq!(hours[0].parts["origin"], Status::Ok);
}

#[test]
fn who_was_to_write_and_did_not_is_not_waited_for_and_a_store_that_is_away_is_told() {
    let far = Arc::<Map>::default();
    let one = isolate(&far, "one");
    assert!(one.count(hit(), ms(1), at(0)));
    assert!(!one.count(hit(), ms(1), at(29)));
    assert!(one.count(hit(), ms(1), at(30)));
    *far.is_away.lock().expect("no panic") = true;
    assert!(!block_on(one.write("FRA", at(30))));
    assert!(!block_on(one.add_up(at(301), &[])));
    *far.is_away.lock().expect("no panic") = false;
    assert!(one.count(hit(), ms(1), at(40)));
    assert!(block_on(one.write("FRA", at(40))));
    assert!(block_on(one.add_up(at(301), &[])));
    assert_eq!(block_on(one.told(at(301))).windows[0].all.requests, 4);
}
