use pitchey_runtime::SeededRandom;
use proptest::prelude::*;

use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn endpoints(count: usize) -> Endpoints {
    Endpoints::new(
        NonZeroUsize::new(count).expect("not zero"),
        OutlierConfig::default(),
    )
}

fn pick(endpoints: &Endpoints, which: usize, now: Monotonic) -> Option<Pick> {
    endpoints.pick(now, &SeededRandom::new(1), |index| index == which)
}

/// Fails so often in a row and returns the ejection at the end, if any.
fn fail(endpoints: &Endpoints, which: usize, times: u32, now: Monotonic) -> Option<Ejection> {
    (0..times).fold(None, |_, _| pick(endpoints, which, now)?.failed(now))
}

#[test]
fn failures_in_a_row_eject_and_a_success_in_between_does_not() {
    let endpoints = endpoints(2);
    let now = Monotonic::START;
    assert_eq!(fail(&endpoints, 0, 4, now), None);
    assert_eq!(
        pick(&endpoints, 0, now).expect("eligible").succeeded(now),
        None
    );
    assert_eq!(fail(&endpoints, 0, 4, now), None);
    let until = now + SECOND * 5;
    assert_eq!(
        fail(&endpoints, 0, 1, now),
        Some(Ejection { endpoint: 0, until })
    );
    assert_eq!(endpoints.ejected(now), [0]);
    assert!(pick(&endpoints, 0, now).is_none());
    assert!(pick(&endpoints, 0, until).is_some());
}

#[test]
fn whoever_fails_again_stays_out_twice_as_long() {
    let endpoints = endpoints(2);
    let mut now = Monotonic::START;
    let waits = [0; 6].map(|_| {
        let ejection = fail(&endpoints, 0, 5, now).expect("ejected");
        let wait = ejection.until - now;
        now = ejection.until;
        wait.as_secs()
    });
    assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
    for _ in 0..20 {
        let fine = pick(&endpoints, 0, now).expect("eligible").succeeded(now);
        assert_eq!(fine, None);
    }
    let ejection = fail(&endpoints, 0, 5, now).expect("ejected");
    assert_eq!(ejection.until - now, SECOND * 5);
}

#[test]
fn whoever_is_much_slower_than_the_others_is_ejected() {
    let endpoints = endpoints(3);
    let mut now = Monotonic::START;
    let mut ejected = Vec::new();
    for _ in 0..30 {
        for (which, latency) in [(0, 10), (1, 12), (2, 100)] {
            if let Some(pick) = pick(&endpoints, which, now) {
                now = now + MILLISECOND * latency;
                ejected.extend(pick.succeeded(now));
            }
        }
    }
    let ejected: Vec<usize> = ejected.iter().map(|ejection| ejection.endpoint).collect();
    assert_eq!(ejected, [2]);
}

#[test]
fn slowness_that_nobody_notices_ejects_nobody() {
    let endpoints = endpoints(2);
    let mut now = Monotonic::START;
    for _ in 0..30 {
        for (which, latency) in [(0, 1), (1, 40)] {
            let pick = pick(&endpoints, which, now).expect("eligible");
            now = now + MILLISECOND * latency;
            assert_eq!(pick.succeeded(now), None);
        }
    }
}

#[test]
fn a_few_slow_calls_eject_nobody() {
    let endpoints = endpoints(2);
    let now = Monotonic::START;
    let slow = |which, latency: u32| {
        let pick = pick(&endpoints, which, now).expect("eligible");
        pick.succeeded(now + MILLISECOND * latency).is_some()
    };
    assert!(!slow(0, 10));
    let ejected: Vec<bool> = (0..20).map(|_| slow(1, 1000)).collect();
    assert_eq!(ejected.iter().position(|ejected| *ejected), Some(19));
}

#[test]
fn calls_from_before_an_ejection_do_not_count_after_it() {
    let endpoints = endpoints(2);
    let now = Monotonic::START;
    let before = [0; 5].map(|_| pick(&endpoints, 0, now).expect("eligible"));
    let ejection = fail(&endpoints, 0, 5, now).expect("ejected");
    for pick in before {
        assert_eq!(pick.failed(now + SECOND), None);
    }
    assert_eq!(fail(&endpoints, 0, 1, ejection.until), None);
}

#[test]
fn what_was_slow_long_ago_is_tried_again() {
    let endpoints = endpoints(2);
    let random = SeededRandom::new(1);
    let mut now = Monotonic::START;
    let slow = pick(&endpoints, 0, now).expect("eligible");
    now = now + MILLISECOND * 100;
    assert_eq!(slow.succeeded(now), None);
    let mut chosen = Vec::new();
    for _ in 0..60 {
        let pick = endpoints.pick(now, &random, |_| true).expect("eligible");
        chosen.push(pick.endpoint());
        now = now + MILLISECOND * 10;
        assert_eq!(pick.succeeded(now), None);
        now = now + SECOND;
    }
    assert!(!chosen[..10].contains(&0), "{chosen:?}");
    assert!(chosen.contains(&0), "{chosen:?}");
}

#[test]
fn slowness_that_all_share_ejects_nobody() {
    let endpoints = endpoints(3);
    let mut now = Monotonic::START;
    for _ in 0..30 {
        for which in 0..3 {
            let pick = pick(&endpoints, which, now).expect("eligible");
            now = now + SECOND;
            assert_eq!(pick.succeeded(now), None);
        }
    }
}

#[test]
fn the_one_with_less_to_do_is_chosen() {
    let endpoints = endpoints(2);
    let random = SeededRandom::new(1);
    let now = Monotonic::START;
    let busy = [0; 3].map(|_| pick(&endpoints, 0, now));
    let next = endpoints.pick(now, &random, |_| true).expect("eligible");
    assert_eq!(next.endpoint(), 1);
    drop((next, busy));
    for (which, latency) in [(0, 10), (1, 40)] {
        let pick = pick(&endpoints, which, now).expect("eligible");
        assert_eq!(pick.succeeded(now + MILLISECOND * latency), None);
    }
    let now = now + SECOND;
    let chosen = [0; 8].map(|_| endpoints.pick(now, &random, |_| true).expect("eligible"));
    let fast = chosen.iter().filter(|pick| pick.endpoint() == 0).count();
    assert!(
        (6..8).contains(&fast),
        "in proportion to their speed: {fast}"
    );
}

#[test]
fn nobody_eligible_means_no_pick() {
    assert!(
        endpoints(3)
            .pick(Monotonic::START, &SeededRandom::new(1), |_| false)
            .is_none()
    );
}

/// One step of a test: how much time passes, and what happens then.
#[derive(Clone, Debug)]
enum Step {
    Pick,
    End(prop::sample::Index, bool),
    Drop(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let end = any::<(prop::sample::Index, bool)>();
    let step = prop_oneof![
        4 => Just(Step::Pick),
        4 => end.prop_map(|(which, failed)| Step::End(which, failed)),
        1 => any::<prop::sample::Index>().prop_map(Step::Drop),
    ];
    prop::collection::vec((0_u64..400, step), 1..300)
}

proptest! {
    #[test]
    fn at_most_half_are_ejected_and_there_is_always_a_pick(
        count in 1_usize..8, bad in 0_usize..8, seed: u64, steps in steps(),
    ) {
        let endpoints = Endpoints::new(
            NonZeroUsize::new(count).expect("not zero"),
            OutlierConfig { consecutive_failures: 2, ..OutlierConfig::default() },
        );
        let random = SeededRandom::new(seed);
        let mut now = Monotonic::START;
        let mut out = Vec::<Pick>::new();
        for (pause, step) in steps {
            now = now + Duration::from_millis(pause);
            match step {
                Step::Pick => {
                    let pick = endpoints.pick(now, &random, |_| true);
                    let pick = pick.expect("half of them are never ejected");
                    prop_assert!(!endpoints.ejected(now).contains(&pick.endpoint()));
                    out.push(pick);
                }
                Step::End(which, failed) if !out.is_empty() => {
                    let pick = out.remove(which.index(out.len()));
                    let endpoint = pick.endpoint();
                    let ejection = if failed || endpoint < bad {
                        pick.failed(now)
                    } else {
                        pick.succeeded(now)
                    };
                    if let Some(ejection) = ejection {
                        prop_assert_eq!(ejection.endpoint, endpoint);
                        prop_assert!(endpoints.ejected(now).contains(&endpoint));
                    }
                }
                Step::Drop(which) if !out.is_empty() => {
                    drop(out.remove(which.index(out.len())));
                }
                _ => {}
            }
            prop_assert!(endpoints.ejected(now).len() <= count / 2);
            let in_flight: usize =
                lock(&endpoints.shared).endpoints.iter().map(|endpoint| endpoint.in_flight).sum();
            prop_assert_eq!(in_flight, out.len());
        }
    }
}
