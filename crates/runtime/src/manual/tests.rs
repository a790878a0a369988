use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Writes its name into a shared list when woken.
struct Named {
    name: &'static str,
    woken: Arc<Mutex<Vec<&'static str>>>,
}

impl Wake for Named {
    fn wake(self: Arc<Self>) {
        self.woken.lock().expect("not poisoned").push(self.name);
    }
}

#[test]
fn time_stands_still_until_advanced() {
    let clock = ManualClock::new();
    let (now, wall) = (clock.now(), clock.wall());
    assert_eq!((clock.now(), clock.wall()), (now, wall));
    clock.advance(SECOND);
    assert_eq!(clock.now() - now, SECOND);
    assert_eq!(clock.wall() - wall, SECOND);
}

#[test]
fn setting_the_wall_clock_leaves_the_monotonic_time_alone() {
    let clock = ManualClock::new();
    clock.set_wall(OffsetDateTime::UNIX_EPOCH);
    assert_eq!(clock.now(), Monotonic::START);
    assert_eq!(clock.wall(), OffsetDateTime::UNIX_EPOCH);
}

#[test]
fn sleeps_wake_in_the_order_of_their_deadlines() {
    let clock = ManualClock::new();
    let timer = ManualTimer::new(&clock);
    let woken = Arc::new(Mutex::new(Vec::new()));
    let mut sleeps =
        [("third", 3), ("first", 1), ("second", 2), ("never", 9)].map(|(name, after)| {
            let mut sleep = Box::pin(timer.sleep(SECOND * after));
            let waker = Waker::from(Arc::new(Named {
                name,
                woken: woken.clone(),
            }));
            assert!(
                sleep
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            sleep
        });
    assert_eq!(clock.sleepers(), 4);
    assert_eq!(clock.next_deadline(), Some(Monotonic::START + SECOND));

    clock.advance(SECOND * 3);

    assert_eq!(
        *woken.lock().expect("not poisoned"),
        ["first", "second", "third"]
    );
    assert_eq!(clock.sleepers(), 1);
    let mut context = Context::from_waker(Waker::noop());
    let ready = sleeps
        .each_mut()
        .map(|sleep| sleep.as_mut().poll(&mut context).is_ready());
    assert_eq!(ready, [true, true, true, false]);
}

#[test]
fn a_sleep_polled_twice_wakes_only_its_last_waker() {
    let clock = ManualClock::new();
    let timer = ManualTimer::new(&clock);
    let woken = Arc::new(Mutex::new(Vec::new()));
    let mut sleep = Box::pin(timer.sleep(SECOND));
    for name in ["old", "new"] {
        let waker = Waker::from(Arc::new(Named {
            name,
            woken: woken.clone(),
        }));
        assert!(
            sleep
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    clock.advance(SECOND);
    assert_eq!(*woken.lock().expect("not poisoned"), ["new"]);
}

#[test]
fn a_dropped_sleep_leaves_nothing_behind() {
    let clock = ManualClock::new();
    let timer = ManualTimer::new(&clock);
    let mut sleep = Box::pin(timer.sleep(SECOND));
    assert!(
        sleep
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    assert_eq!(clock.sleepers(), 1);
    drop(sleep);
    assert_eq!(clock.sleepers(), 0);
}

#[test]
fn a_sleep_counts_from_its_call_and_not_from_its_first_poll() {
    let clock = ManualClock::new();
    let mut sleep = Box::pin(ManualTimer::new(&clock).sleep(SECOND));
    clock.advance(SECOND);
    assert!(
        sleep
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    );
}

#[test]
fn a_task_may_take_the_lock_while_it_is_woken() {
    struct Reads(ManualClock, AtomicUsize);
    impl Wake for Reads {
        fn wake(self: Arc<Self>) {
            self.1.store(1 + self.0.sleepers(), Ordering::SeqCst);
        }
    }
    let clock = ManualClock::new();
    let reads = Arc::new(Reads(clock.clone(), AtomicUsize::new(0)));
    let mut sleep = Box::pin(ManualTimer::new(&clock).sleep(SECOND));
    let waker = Waker::from(reads.clone());
    assert!(
        sleep
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    clock.advance(SECOND);
    assert_eq!(reads.1.load(Ordering::SeqCst), 1);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let draw = |seed| {
        let mut bytes = [0; 13];
        SeededRandom::new(seed).fill(&mut bytes);
        bytes
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    assert_ne!(
        draw(1)[8..],
        [0; 5],
        "the odd bytes at the end are filled, too"
    );
}

#[test]
fn clones_of_a_seeded_random_share_one_sequence() {
    let random = SeededRandom::new(1);
    assert_ne!(random.clone().next_u64(), random.next_u64());
}
