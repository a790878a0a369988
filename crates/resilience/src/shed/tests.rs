use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pitchey_runtime::{ManualRuntime, Random};
use proptest::prelude::*;

use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);
const NEVER: Deadline = Deadline::at(Monotonic::from_start(Duration::MAX));

type Admitting<'a> = Pin<Box<dyn Future<Output = Result<Permit, Shed>> + Send + 'a>>;

fn shedder(limit: usize, queue: usize) -> (ManualRuntime, Shedder<ManualRuntime>) {
    let runtime = ManualRuntime::new(1);
    let config = ShedConfig {
        queue,
        ..ShedConfig::new(NonZeroUsize::new(limit).expect("not zero"))
    };
    (runtime.clone(), Shedder::new(runtime, config))
}

fn admitting(shedder: &Shedder<ManualRuntime>, priority: Priority) -> Admitting<'_> {
    let mut admitting: Admitting<'_> = Box::pin(shedder.admit(priority, NEVER));
    assert!(poll(&mut admitting).is_pending());
    admitting
}

fn poll(admitting: &mut Admitting<'_>) -> Poll<Result<Permit, Shed>> {
    admitting
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

fn now(shedder: &Shedder<ManualRuntime>, priority: Priority) -> Result<Permit, Shed> {
    let mut admitting: Admitting<'_> = Box::pin(shedder.admit(priority, NEVER));
    match poll(&mut admitting) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it waits"),
    }
}

fn is_shed(polled: &Poll<Result<Permit, Shed>>) -> bool {
    matches!(polled, Poll::Ready(Err(_)))
}

fn is_admitted(polled: &Poll<Result<Permit, Shed>>) -> bool {
    matches!(polled, Poll::Ready(Ok(_)))
}

#[test]
fn a_short_burst_is_served_in_the_order_of_arrival() {
    let (runtime, shedder) = shedder(1, 10);
    let inside = now(&shedder, Priority::Normal).expect("it is free");
    let mut first = admitting(&shedder, Priority::Normal);
    let mut second = admitting(&shedder, Priority::Normal);
    runtime.clock.advance(MILLISECOND * 50);
    drop(inside);
    assert!(poll(&mut second).is_pending());
    assert!(is_admitted(&poll(&mut first)));
}

#[test]
fn a_queue_that_stands_serves_the_newest_and_sends_the_others_away() {
    let (runtime, shedder) = shedder(1, 10);
    let inside = now(&shedder, Priority::Normal).expect("it is free");
    let mut long_there = admitting(&shedder, Priority::Normal);
    runtime.clock.advance(MILLISECOND * 94);
    let mut beyond_target = admitting(&shedder, Priority::Normal);
    runtime.clock.advance(MILLISECOND * 3);
    let mut older = admitting(&shedder, Priority::Normal);
    runtime.clock.advance(MILLISECOND);
    let mut newer = admitting(&shedder, Priority::Normal);
    runtime.clock.advance(MILLISECOND * 2);
    drop(inside);
    assert!(is_shed(&poll(&mut long_there)));
    assert!(is_shed(&poll(&mut beyond_target)));
    assert!(poll(&mut older).is_pending());
    assert!(is_admitted(&poll(&mut newer)));
}

#[test]
fn a_permit_that_is_free_in_between_shows_that_it_is_no_overload() {
    let (runtime, shedder) = shedder(1, 10);
    let inside = now(&shedder, Priority::Normal).expect("it is free");
    let mut long_there = admitting(&shedder, Priority::Normal);
    runtime.clock.advance(MILLISECOND * 99);
    drop(inside);
    drop(poll(&mut long_there));
    let inside = now(&shedder, Priority::Normal).expect("it is free");
    let mut first = admitting(&shedder, Priority::Normal);
    let mut second = admitting(&shedder, Priority::Normal);
    runtime.clock.advance(MILLISECOND * 50);
    drop(inside);
    assert!(poll(&mut second).is_pending());
    assert!(is_admitted(&poll(&mut first)));
}

#[test]
fn an_overload_is_believed_for_ten_intervals() {
    let (runtime, shedder) = shedder(1, 10);
    let inside = now(&shedder, Priority::Normal).expect("it is free");
    let _long_there = admitting(&shedder, Priority::Normal);
    runtime.clock.advance(MILLISECOND * 100);
    drop(inside);
    let newest_first = || {
        let inside = now(&shedder, Priority::Normal).expect("it is free");
        let mut first = admitting(&shedder, Priority::Normal);
        let mut second = admitting(&shedder, Priority::Normal);
        drop(inside);
        let polled = [poll(&mut first), poll(&mut second)];
        let admitted = polled.each_ref().map(is_admitted);
        assert!(admitted[0] != admitted[1], "one of them");
        admitted[1]
    };
    runtime.clock.advance(MILLISECOND * 999);
    assert!(newest_first());
    runtime.clock.advance(MILLISECOND);
    assert!(!newest_first());
}

#[test]
fn nobody_waits_longer_than_the_interval_even_if_nothing_moves() {
    let (runtime, shedder) = shedder(1, 10);
    let _stuck = now(&shedder, Priority::Normal).expect("it is free");
    let mut waiting = admitting(&shedder, Priority::Critical);
    runtime.clock.advance(MILLISECOND * 100);
    assert!(is_shed(&poll(&mut waiting)));
    assert_eq!(shedder.queued(), 0);
}

#[test]
fn the_urgent_go_first_and_push_out_the_others() {
    let (_, shedder) = shedder(1, 2);
    let inside = now(&shedder, Priority::Normal).expect("it is free");
    let mut warming = admitting(&shedder, Priority::Background);
    let mut reading = admitting(&shedder, Priority::Normal);
    let mut paying = admitting(&shedder, Priority::Critical);
    assert!(is_shed(&poll(&mut warming)));
    assert!(
        now(&shedder, Priority::Low).is_err(),
        "all others are more urgent"
    );
    drop(inside);
    assert!(poll(&mut reading).is_pending());
    let Poll::Ready(Ok(paying)) = poll(&mut paying) else {
        panic!("it is the most urgent");
    };
    drop(paying);
    assert!(is_admitted(&poll(&mut reading)));
}

#[test]
fn what_is_less_urgent_does_not_make_the_urgent_look_like_overload() {
    let (runtime, shedder) = shedder(1, 10);
    let mut inside = Some(now(&shedder, Priority::Normal).expect("it is free"));
    let mut low = Vec::new();
    for _ in 0..20 {
        low.push(admitting(&shedder, Priority::Low));
        runtime.clock.advance(MILLISECOND * 10);
    }
    let mut paying = admitting(&shedder, Priority::Critical);
    runtime.clock.advance(MILLISECOND * 20);
    inside.take();
    assert!(
        is_admitted(&poll(&mut paying)),
        "20 ms are beyond the target, but not its own"
    );
}

#[test]
fn what_is_too_late_is_not_let_in() {
    let (runtime, shedder) = shedder(1, 10);
    let passed = Deadline::at(runtime.now());
    let mut late: Admitting<'_> = Box::pin(shedder.admit(Priority::Critical, passed));
    assert!(is_shed(&poll(&mut late)));
}

/// Offers so many times what ten servers can do that take 5 to 15 ms for a call, at random, for four
/// seconds. Returns how many calls were begun within 20 ms, and the longest wait of any.
fn begun_in_time(load: u64) -> (u32, Duration) {
    let (runtime, shedder) = shedder(10, 1000);
    let draw = |below| runtime.random.next_u64() % below;
    let mut waiting = Vec::<(Monotonic, Admitting<'_>)>::new();
    let mut inside = Vec::<(Monotonic, Permit)>::new();
    let (mut in_time, mut longest) = (0, Duration::ZERO);
    for _ in 0..4000 {
        let now = runtime.now();
        inside.retain(|(until, _)| *until > now);
        for _ in 0..draw(2 * load + 1) {
            waiting.push((now, Box::pin(shedder.admit(Priority::Normal, NEVER))));
        }
        waiting.retain_mut(|(since, admitting)| match poll(admitting) {
            Poll::Pending => true,
            Poll::Ready(outcome) => {
                let waited = now - *since;
                longest = longest.max(waited);
                if let Ok(permit) = outcome {
                    in_time += u32::from(waited <= MILLISECOND * 20);
                    let takes = Duration::from_millis(5 + draw(11));
                    inside.push((now + takes, permit));
                }
                false
            }
        });
        runtime.clock.advance(MILLISECOND);
    }
    (in_time, longest)
}

#[test]
fn at_twice_what_can_be_done_almost_all_that_can_be_done_is_done_in_time() {
    const MOST: u32 = 4000;
    for load in [2, 5] {
        let (in_time, longest) = begun_in_time(load);
        assert!(
            in_time >= MOST * 9 / 10,
            "{in_time} at {load} times the load"
        );
        assert!(longest <= MILLISECOND * 100, "{longest:?}");
    }
}

/// What a test does next; a number picks one of those that are there.
#[derive(Clone, Debug)]
enum Step {
    Arrive(usize),
    Poll(prop::sample::Index),
    Abandon(prop::sample::Index),
    Leave(prop::sample::Index),
    Pass(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..PRIORITIES.len()).prop_map(Step::Arrive),
        2 => any::<prop::sample::Index>().prop_map(Step::Poll),
        1 => any::<prop::sample::Index>().prop_map(Step::Abandon),
        3 => any::<prop::sample::Index>().prop_map(Step::Leave),
        2 => (0_u32..60).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn permits_and_places_are_never_lost_and_no_place_is_left_free(
        limit in 1_usize..4, queue in 0_usize..6, steps in prop::collection::vec(step(), 1..150),
    ) {
        let (runtime, shedder) = shedder(limit, queue);
        let mut waiting = Vec::<Admitting<'_>>::new();
        let mut permits = Vec::new();
        for step in steps {
            match step {
                Step::Arrive(priority) => {
                    let mut arriving: Admitting<'_> =
                        Box::pin(shedder.admit(PRIORITIES[priority], NEVER));
                    match poll(&mut arriving) {
                        Poll::Ready(outcome) => permits.extend(outcome),
                        Poll::Pending => waiting.push(arriving),
                    }
                }
                Step::Poll(which) if !waiting.is_empty() => {
                    let which = which.index(waiting.len());
                    if let Poll::Ready(outcome) = poll(&mut waiting[which]) {
                        permits.extend(outcome);
                        drop(waiting.remove(which));
                    }
                }
                Step::Abandon(which) if !waiting.is_empty() => {
                    drop(waiting.remove(which.index(waiting.len())));
                }
                Step::Leave(which) if !permits.is_empty() => {
                    drop(permits.remove(which.index(permits.len())));
                }
                Step::Pass(milliseconds) => runtime.clock.advance(MILLISECOND * milliseconds),
                _ => {}
            }
            prop_assert!(shedder.queued() <= queue);
            prop_assert!(shedder.in_flight() <= limit);
            prop_assert!(shedder.in_flight() >= permits.len());
            prop_assert!(shedder.queued() == 0 || shedder.in_flight() == limit);
        }
        drop(waiting);
        drop(permits);
        prop_assert_eq!((shedder.in_flight(), shedder.queued()), (0, 0));
    }
}
