//! Which region is asked, and which is left out.

use super::*;
use pitchey_runtime::ManualRuntime;
use proptest::prelude::*;
use std::task::{Context, Poll, Waker};

fn place(latitude: f64, longitude: f64) -> Place {
    Place::new(latitude, longitude).expect("a place")
}

fn colo(code: &str) -> Place {
    Place::of_colo(code).expect("a data centre")
}

#[test]
fn cities_are_as_far_apart_as_maps_say() {
    for (from, to, km) in [
        ("FRA", "LHR", 655.0),
        ("JNB", "SIN", 8660.0),
        ("SFO", "NRT", 8220.0),
        ("GRU", "JNB", 7430.0),
        ("SYD", "SCL", 11340.0),
    ] {
        let told = colo(from).distance(colo(to));
        assert!((told - km).abs() < km / 50.0, "{from} to {to}: {told}");
    }
}

#[test]
fn the_nearest_comes_first_and_the_primary_where_nothing_is_known() {
    let regions = ["IAD", "FRA", "SIN"].map(colo);
    let first = |from: &str| nearest(&regions, Some(colo(from)))[0];
    assert_eq!(
        ["BOS", "GRU", "ATH", "CDG", "KUL", "SYD"].map(first),
        [0, 0, 1, 1, 2, 2]
    );
    assert_eq!(nearest(&regions, None), [0, 1, 2]);
    // Across the date line the way is short.
    let line = [place(0.0, 0.0), place(0.0, -179.0)];
    assert_eq!(nearest(&line, Some(place(0.0, 179.0))), [1, 0]);
    let same = [colo("FRA"); 3];
    assert_eq!(nearest(&same, Some(colo("LHR"))), [0, 1, 2]);
}

#[test]
fn a_proxy_tells_where_a_client_is_or_the_data_centre_that_it_has_come_to() {
    let told = |fields: &[(&'static str, &'static str)]| {
        let mut headers = http::HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, http::HeaderValue::from_static(value));
        }
        Place::told(&headers)
    };
    let ray = ("cf-ray", "8f1c2d3e4f5a6b7c-FRA");
    let exact = [("cf-iplatitude", "1.5"), ("cf-iplongitude", "104"), ray];
    assert_eq!(told(&exact), Some(place(1.5, 104.0)));
    let wrong = [("cf-iplatitude", "95"), ("cf-iplongitude", "NaN"), ray];
    assert_eq!(told(&wrong), Some(colo("FRA")));
    assert_eq!(told(&[("cf-ray", "8f1c-ZZZ")]), None);
    assert_eq!(told(&[]), None);
}

#[test]
fn the_table_is_in_order_and_all_of_it_is_on_the_globe() {
    use super::colos::COLOS;
    assert!(COLOS.is_sorted_by(|a, b| a.0 < b.0));
    for (code, ..) in COLOS {
        assert!(Place::of_colo(code).is_some(), "{code}");
    }
}

fn anywhere() -> impl Strategy<Value = Place> {
    (-90.0..=90.0, -180.0..=180.0).prop_map(|(latitude, longitude)| place(latitude, longitude))
}

proptest! {
    #[test]
    fn a_way_is_as_long_back_and_no_detour_is_shorter(a in anywhere(), b in anywhere(), c in anywhere()) {
        let way = a.distance(b);
        prop_assert!((way - b.distance(a)).abs() < 1e-6);
        prop_assert!((0.0..=RADIUS_HALF).contains(&way));
        prop_assert!(way <= a.distance(c) + c.distance(b) + 1e-3);
        prop_assert!(a.distance(a) < 1e-6);
    }

    #[test]
    fn every_region_is_in_the_order_once_and_none_is_nearer_than_the_one_before(
        regions in proptest::collection::vec(anywhere(), 0..20), from in anywhere(),
    ) {
        let order = nearest(&regions, Some(from));
        let mut all = order.clone();
        all.sort_unstable();
        prop_assert_eq!(all, (0..regions.len()).collect::<Vec<_>>());
        let ways = order.iter().map(|index| from.distance(regions[*index]));
        prop_assert!(ways.is_sorted());
    }
}

/// Half around the globe.
const RADIUS_HALF: f64 = 6371.0 * std::f64::consts::PI + 1e-6;

/// A database that does what it is told to, and counts how often it is asked.
#[derive(Clone)]
struct Fake(Arc<Mutex<(Does, u64, Told)>>);

#[derive(Clone, Copy)]
enum Does {
    Answer,
    /// With this status.
    Refuse(u16),
    /// As a replica that has replayed so much.
    Lag(u64),
    Hang,
}

impl Default for Fake {
    /// No replica.
    fn default() -> Self {
        let told = Told {
            replayed: WalPosition(u64::MAX),
            times: 0,
        };
        Self(Arc::new(Mutex::new((Does::Answer, 0, told))))
    }
}

impl Fake {
    fn does(&self, does: Does) {
        self.0.lock().expect("whole").0 = does;
    }

    fn asked(&self) -> u64 {
        self.0.lock().expect("whole").1
    }
}

impl Reads for Fake {
    fn answer<'a>(
        &'a self,
        _: &'a Uri,
        _: &'static str,
        _: &'a str,
        after: WalPosition,
    ) -> BoxFuture<'a, Option<RegionalAnswer>> {
        let mut state = self.0.lock().expect("whole");
        state.1 += 1;
        let status = match state.0 {
            Does::Answer => 200,
            Does::Refuse(status) => status,
            Does::Hang => return Box::pin(std::future::pending()),
            Does::Lag(replayed) => {
                state.2.replayed = WalPosition(replayed);
                state.2.times += 1;
                if WalPosition(replayed) < after {
                    503
                } else {
                    200
                }
            }
        };
        let answer = RegionalAnswer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: http::HeaderMap::new(),
            body: bytes::Bytes::new(),
            tags: Vec::new(),
        };
        Box::pin(std::future::ready(Some(answer)))
    }
}

/// Three databases, and a reader who is near the third, then the second.
struct Bed {
    fakes: [Fake; 3],
    regions: Regions,
    world: ManualRuntime,
}

impl Bed {
    fn new() -> Self {
        let fakes: [Fake; 3] = std::array::from_fn(|_| Fake::default());
        let colos = ["IAD", "FRA", "SIN"].map(colo);
        let all = fakes.iter().zip(colos).zip(["a", "b", "c"]);
        let all = all.map(|((fake, place), name)| {
            let told = fake.clone();
            let told = move || told.0.lock().expect("whole").2;
            Arc::new(Region::new(name, place, fake.clone(), told))
        });
        Self {
            regions: Regions::new(all.collect(), None, Duration::from_millis(100)),
            fakes,
            world: ManualRuntime::new(1),
        }
    }

    fn read(&self, after: u64) -> Option<String> {
        let target = Uri::from_static("/api/pitches");
        let ask = Ask {
            target: &target,
            coding: "identity",
            id: "x",
            after: WalPosition(after),
            from: Some(colo("KUL")),
        };
        let reading = self.regions.read(&self.world, ask);
        let mut reading = std::pin::pin!(reading);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match reading.as_mut().poll(&mut context) {
                Poll::Ready(read) => return read.map(|read| read.region.to_string()),
                Poll::Pending => self.world.clock.advance(Duration::from_millis(100)),
            }
        }
    }

    fn asked(&self) -> [u64; 3] {
        self.fakes.each_ref().map(Fake::asked)
    }
}

#[test]
fn the_next_one_is_asked_if_one_fails_or_is_late_and_then_the_origin() {
    let bed = Bed::new();
    assert_eq!(bed.read(0).as_deref(), Some("c"));
    bed.fakes[2].does(Does::Refuse(503));
    assert_eq!(bed.read(0).as_deref(), Some("b"));
    bed.fakes[2].does(Does::Hang);
    assert_eq!(bed.read(0).as_deref(), Some("b"));
    // Not more than two.
    let bed = Bed::new();
    bed.fakes[2].does(Does::Refuse(503));
    bed.fakes[1].does(Does::Refuse(500));
    assert_eq!(bed.read(0), None);
    assert_eq!(bed.asked(), [0, 1, 1]);
}

#[test]
fn what_is_not_good_the_origin_says_and_that_is_no_failure() {
    let bed = Bed::new();
    bed.fakes[2].does(Does::Refuse(404));
    for _ in 0..20 {
        assert_eq!(bed.read(0), None);
    }
    assert_eq!(bed.asked(), [0, 0, 20]);
}

#[test]
fn one_that_fails_again_and_again_is_left_alone_and_tried_again_later() {
    let bed = Bed::new();
    bed.fakes[2].does(Does::Refuse(503));
    for _ in 0..20 {
        assert_eq!(bed.read(0).as_deref(), Some("b"));
    }
    assert!(bed.fakes[2].asked() < 5, "{}", bed.fakes[2].asked());
    assert!(bed.regions.all()[2].status().open);
    bed.fakes[2].does(Does::Answer);
    bed.world.clock.advance(BREAKER.longest_open);
    assert_eq!(bed.read(0).as_deref(), Some("c"));
}

#[test]
fn one_whose_probe_failed_is_not_asked_until_one_succeeds() {
    let bed = Bed::new();
    let region = &bed.regions.all()[2];
    assert!(region.probed(false) && !region.probed(false));
    assert_eq!(bed.read(0).as_deref(), Some("b"));
    assert!(region.probed(true));
    assert_eq!(bed.read(0).as_deref(), Some("c"));
    assert_eq!(bed.asked(), [0, 1, 1]);
}

#[test]
fn one_that_lags_is_not_asked_for_what_it_did_not_have_for_a_moment_and_its_breaker_stays_closed() {
    let bed = Bed::new();
    bed.fakes[2].does(Does::Lag(10));
    for _ in 0..20 {
        assert_eq!(bed.read(11).as_deref(), Some("b"));
    }
    assert_eq!(bed.asked(), [0, 20, 1]);
    assert!(!bed.regions.all()[2].status().open);
    assert_eq!(bed.read(10).as_deref(), Some("c"), "that it has");
    bed.fakes[2].does(Does::Lag(11));
    bed.world.clock.advance(BEHIND);
    assert_eq!(bed.read(11).as_deref(), Some("c"));
}
