use pitchey_runtime::{ManualClock, ManualTimer};
use proptest::prelude::*;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

type Acquiring<'a> = Pin<Box<dyn Future<Output = Result<Permit, Rejected>> + Send + 'a>>;

fn bulkhead(limit: usize, queue: usize) -> Bulkhead {
    Bulkhead::new(NonZeroUsize::new(limit).expect("not zero"), queue)
}

fn acquiring<'a>(bulkhead: &'a Bulkhead, timer: &'a ManualTimer) -> Acquiring<'a> {
    Box::pin(bulkhead.acquire(timer, SECOND))
}

fn poll(acquiring: &mut Acquiring<'_>) -> Poll<Result<Permit, Rejected>> {
    acquiring
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

fn permit(acquiring: &mut Acquiring<'_>) -> Permit {
    match poll(acquiring) {
        Poll::Ready(Ok(permit)) => permit,
        other => panic!("no permit: {other:?}"),
    }
}

#[test]
fn a_full_queue_refuses_at_once() {
    let timer = ManualTimer::new(&ManualClock::new());
    let bulkhead = bulkhead(1, 1);
    let _inside = permit(&mut acquiring(&bulkhead, &timer));
    let mut waiting = acquiring(&bulkhead, &timer);
    assert!(poll(&mut waiting).is_pending());
    let mut refused = acquiring(&bulkhead, &timer);
    assert!(matches!(
        poll(&mut refused),
        Poll::Ready(Err(Rejected::Full))
    ));
    assert_eq!((bulkhead.in_flight(), bulkhead.queued()), (1, 1));
}

#[test]
fn a_waiter_gives_up_at_its_deadline_and_leaves_the_queue() {
    let clock = ManualClock::new();
    let timer = ManualTimer::new(&clock);
    let bulkhead = bulkhead(1, 1);
    let _inside = permit(&mut acquiring(&bulkhead, &timer));
    let mut waiting = acquiring(&bulkhead, &timer);
    assert!(poll(&mut waiting).is_pending());
    clock.advance(SECOND);
    assert!(matches!(
        poll(&mut waiting),
        Poll::Ready(Err(Rejected::TimedOut))
    ));
    assert_eq!((bulkhead.in_flight(), bulkhead.queued()), (1, 0));
}

#[test]
fn a_permit_for_a_waiter_that_is_dropped_goes_to_the_next() {
    let timer = ManualTimer::new(&ManualClock::new());
    let bulkhead = bulkhead(1, 2);
    let inside = permit(&mut acquiring(&bulkhead, &timer));
    let mut first = acquiring(&bulkhead, &timer);
    let mut second = acquiring(&bulkhead, &timer);
    assert!(poll(&mut first).is_pending());
    assert!(poll(&mut second).is_pending());
    drop(inside);
    assert_eq!((bulkhead.in_flight(), bulkhead.queued()), (1, 1));
    drop(first);
    let _inside = permit(&mut second);
    assert_eq!((bulkhead.in_flight(), bulkhead.queued()), (1, 0));
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn only_who_gets_the_permit_is_woken_and_by_the_waker_of_the_last_poll() {
    let timer = ManualTimer::new(&ManualClock::new());
    let bulkhead = bulkhead(1, 2);
    let inside = permit(&mut acquiring(&bulkhead, &timer));
    let mut waiting = [0; 2].map(|_| acquiring(&bulkhead, &timer));
    let woken = [0; 3].map(|_| Arc::new(Woken::default()));
    let wakers = woken.each_ref().map(|woken| Waker::from(woken.clone()));
    for (which, waker) in [(0, 0), (1, 1), (0, 2)] {
        let mut context = Context::from_waker(&wakers[waker]);
        assert!(waiting[which].as_mut().poll(&mut context).is_pending());
    }
    drop(inside);
    let woken = woken.each_ref().map(|woken| woken.0.load(Ordering::SeqCst));
    assert_eq!(woken, [0, 0, 1]);
}

#[test]
fn nobody_overtakes_those_who_wait() {
    let timer = ManualTimer::new(&ManualClock::new());
    let bulkhead = bulkhead(1, 2);
    let inside = permit(&mut acquiring(&bulkhead, &timer));
    let mut first = acquiring(&bulkhead, &timer);
    assert!(poll(&mut first).is_pending());
    drop(inside);
    let mut second = acquiring(&bulkhead, &timer);
    assert!(poll(&mut second).is_pending());
    drop(permit(&mut first));
    drop(permit(&mut second));
    assert_eq!((bulkhead.in_flight(), bulkhead.queued()), (0, 0));
}

/// What a test does next; a number picks one of those that are there.
#[derive(Clone, Debug)]
enum Step {
    Arrive,
    Poll(prop::sample::Index),
    Abandon(prop::sample::Index),
    Leave(prop::sample::Index),
    Limit(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Arrive),
        2 => any::<prop::sample::Index>().prop_map(Step::Poll),
        2 => any::<prop::sample::Index>().prop_map(Step::Abandon),
        3 => any::<prop::sample::Index>().prop_map(Step::Leave),
        1 => (1_usize..5).prop_map(Step::Limit),
    ]
}

/// The bulkhead as a list: the first `granted` of those who wait have a permit to pick up.
struct Model {
    limit: usize,
    inside: usize,
    queue: Vec<u32>,
    granted: Vec<u32>,
}

impl Model {
    fn admit(&mut self) {
        while self.inside + self.granted.len() < self.limit && !self.queue.is_empty() {
            self.granted.push(self.queue.remove(0));
        }
    }
}

proptest! {
    #[test]
    fn permits_go_to_the_first_in_line_and_are_never_lost(
        limit in 1_usize..5, capacity in 0_usize..5, steps in prop::collection::vec(step(), 1..100),
    ) {
        let timer = ManualTimer::new(&ManualClock::new());
        let bulkhead = bulkhead(limit, capacity);
        let mut model = Model { limit, inside: 0, queue: Vec::new(), granted: Vec::new() };
        let mut waiting = Vec::<(u32, Acquiring<'_>)>::new();
        let mut permits = Vec::new();
        for (id, step) in (0_u32..).zip(steps) {
            match step {
                Step::Arrive => {
                    let mut arriving = acquiring(&bulkhead, &timer);
                    match poll(&mut arriving) {
                        Poll::Ready(Ok(permit)) => {
                            prop_assert!(model.inside + model.granted.len() < model.limit);
                            prop_assert!(model.queue.is_empty());
                            model.inside += 1;
                            permits.push(permit);
                        }
                        Poll::Ready(Err(rejected)) => {
                            prop_assert_eq!(rejected, Rejected::Full);
                            prop_assert_eq!(model.queue.len(), capacity);
                        }
                        Poll::Pending => {
                            prop_assert!(model.inside + model.granted.len() >= model.limit);
                            model.queue.push(id);
                            waiting.push((id, arriving));
                        }
                    }
                }
                Step::Poll(which) if !waiting.is_empty() => {
                    let which = which.index(waiting.len());
                    let (id, polled) = &mut waiting[which];
                    match poll(polled) {
                        Poll::Ready(permit) => {
                            prop_assert!(model.granted.contains(id));
                            model.granted.retain(|granted| granted != id);
                            model.inside += 1;
                            permits.push(permit.expect("the time stands still"));
                            drop(waiting.remove(which));
                        }
                        Poll::Pending => prop_assert!(model.queue.contains(id)),
                    }
                }
                Step::Abandon(which) if !waiting.is_empty() => {
                    let (id, abandoned) = waiting.remove(which.index(waiting.len()));
                    drop(abandoned);
                    model.queue.retain(|queued| *queued != id);
                    model.granted.retain(|granted| *granted != id);
                }
                Step::Leave(which) if !permits.is_empty() => {
                    drop(permits.remove(which.index(permits.len())));
                    model.inside -= 1;
                }
                Step::Limit(limit) => {
                    bulkhead.set_limit(NonZeroUsize::new(limit).expect("not zero"));
                    model.limit = limit;
                }
                _ => {}
            }
            model.admit();
            prop_assert_eq!(bulkhead.in_flight(), model.inside + model.granted.len());
            prop_assert_eq!(bulkhead.queued(), model.queue.len());
        }
        drop(waiting);
        drop(permits);
        prop_assert_eq!((bulkhead.in_flight(), bulkhead.queued()), (0, 0));
    }
}
