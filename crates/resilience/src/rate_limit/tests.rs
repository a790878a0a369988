use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn quota(burst: u32, interval: Duration) -> Quota {
    Quota::new(NonZeroU32::new(burst).expect("not zero"), interval)
}

fn at(milliseconds: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_millis(milliseconds))
}

#[test]
fn a_burst_passes_at_once_and_then_one_each_interval() {
    let quota = quota(3, SECOND);
    let mut key = Gcra::default();
    let remaining = [0; 3].map(|_| key.check(quota, at(500)).remaining);
    assert_eq!(remaining, [2, 1, 0]);
    assert_eq!(
        key.check(quota, at(600)),
        Verdict {
            allowed: false,
            limit: 3,
            remaining: 0,
            reset_after: Duration::from_millis(2900),
            retry_after: Duration::from_millis(900),
        }
    );
    assert!(key.check(quota, at(1500)).allowed);
    assert!(!key.check(quota, at(1500)).allowed);
}

#[test]
fn an_interval_of_zero_allows_everything() {
    let quota = quota(2, Duration::ZERO);
    let mut key = Gcra::default();
    for _ in 0..10 {
        let verdict = key.check(quota, at(0));
        assert!(verdict.allowed);
        assert_eq!(verdict.remaining, 2);
    }
}

#[test]
fn a_window_that_cannot_be_counted_does_not_overflow() {
    let quota = quota(u32::MAX, Duration::MAX);
    let limiter = KeyedRateLimiter::new(quota, 4);
    assert!(limiter.check(&1, at(5)).allowed);
    limiter.check(&1, at(6));
    limiter.check(&2, at(7));
    assert_eq!(limiter.len(), 2);
}

#[test]
fn keys_whose_burst_is_whole_again_are_forgotten() {
    // Few enough for one shard: each forgets when it is asked, and which one a key is in is left to chance.
    let limiter = KeyedRateLimiter::new(quota(10, SECOND), 100);
    for key in 0..100 {
        limiter.check(&key, at(0));
    }
    assert_eq!(limiter.len(), 100);
    for key in 100..110 {
        limiter.check(&key, at(2000));
    }
    assert_eq!(limiter.len(), 10);
}

#[test]
fn a_flood_of_new_keys_does_not_push_out_who_has_spent_a_burst() {
    let limiter = KeyedRateLimiter::new(quota(10, SECOND), 50);
    for _ in 0..10 {
        limiter.check(&u64::MAX, at(0));
    }
    for key in 0..10_000 {
        limiter.check(&key, at(0));
    }
    assert_eq!(limiter.len(), 50);
    assert!(!limiter.check(&u64::MAX, at(0)).allowed);
}

#[test]
fn a_long_pause_forgets_everything_and_leaves_the_wheel_in_order() {
    let limiter = KeyedRateLimiter::new(quota(2, SECOND), 10);
    limiter.check(&1, at(0));
    limiter.check(&1, at(1_000_000_000));
    limiter.check(&1, at(1_000_000_000));
    assert!(!limiter.check(&1, at(1_000_000_000)).allowed);
    assert_eq!(limiter.len(), 1);
}

#[test]
fn a_key_is_not_forgotten_a_moment_too_early() {
    let limiter = KeyedRateLimiter::new(quota(2, SECOND), 10);
    limiter.check(&1, at(0));
    limiter.check(&1, at(10));
    let verdict = limiter.check(&1, at(1990));
    assert_eq!(verdict.remaining, 0, "it was to be whole at 2000");
}

#[test]
fn a_call_from_before_the_others_does_not_stay_in_memory() {
    let limiter = KeyedRateLimiter::new(quota(2, SECOND), 10);
    limiter.check(&1, at(100_000));
    limiter.check(&2, at(0));
    limiter.check(&1, at(100_100));
    assert_eq!(limiter.len(), 1);
}

#[test]
fn many_threads_together_get_no_more_than_the_burst() {
    let limiter = KeyedRateLimiter::new(quota(100, SECOND), 1000);
    let allowed: usize = std::thread::scope(|scope| {
        let ask = || {
            (0..100)
                .filter(|_| limiter.check(&"key", at(0)).allowed)
                .count()
        };
        let threads = [0; 4].map(|_| scope.spawn(ask));
        threads
            .map(|thread| thread.join().expect("no panic"))
            .iter()
            .sum()
    });
    assert_eq!(allowed, 100);
}

/// Calls that step forward in time by up to `step` milliseconds, each by one of `keys`.
fn calls(keys: u8, step: u64) -> impl Strategy<Value = Vec<(u8, u64)>> {
    prop::collection::vec((0..keys, 0..step), 1..300).prop_map(|calls| {
        let mut time = 0;
        calls
            .into_iter()
            .map(|(key, step)| {
                time += step;
                (key, time)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn no_span_of_time_lets_more_through_than_burst_and_refill(
        burst in 1_u32..10, interval in 1_u64..500, calls in calls(1, 300),
    ) {
        let quota = quota(burst, Duration::from_millis(interval));
        let mut key = Gcra::default();
        let allowed: Vec<u64> = calls
            .into_iter()
            .filter(|(_, time)| key.check(quota, at(*time)).allowed)
            .map(|(_, time)| time)
            .collect();
        for (first, start) in allowed.iter().enumerate() {
            for (count, end) in allowed[first..].iter().enumerate() {
                let most = u64::from(burst) + (end - start) / interval;
                prop_assert!((count as u64) < most);
            }
        }
    }

    #[test]
    fn a_verdict_keeps_its_word(
        burst in 1_u32..10, interval in 1_u64..500, calls in calls(1, 300),
    ) {
        let quota = quota(burst, Duration::from_millis(interval));
        let mut key = Gcra::default();
        for (_, time) in calls {
            let now = at(time);
            let verdict = key.check(quota, now);
            prop_assert_eq!(verdict.allowed, verdict.retry_after.is_zero());
            if !verdict.allowed {
                prop_assert!(key.clone().check(quota, now + verdict.retry_after).allowed);
                let early = verdict.retry_after.saturating_sub(Duration::from_nanos(1));
                prop_assert!(!key.clone().check(quota, now + early).allowed);
            }
            let mut rest = key;
            for _ in 0..verdict.remaining {
                prop_assert!(rest.check(quota, now).allowed);
            }
            prop_assert!(!rest.check(quota, now).allowed);
            let whole = key.clone().check(quota, now + verdict.reset_after);
            prop_assert_eq!(whole.remaining, burst - 1);
        }
    }

    #[test]
    fn with_room_for_all_every_key_is_judged_as_if_alone(
        burst in 1_u32..5, interval in 1_u64..2000, calls in calls(20, 300),
    ) {
        let quota = quota(burst, Duration::from_millis(interval));
        let limiter = KeyedRateLimiter::new(quota, 20);
        let mut alone = HashMap::<u8, Gcra>::new();
        for (key, time) in calls {
            let expected = alone.entry(key).or_default().check(quota, at(time));
            prop_assert_eq!(limiter.check(&key, at(time)), expected);
        }
    }

    #[test]
    fn memory_is_bounded_and_the_wheel_holds_each_key_once(
        burst in 1_u32..5, interval in 1_u64..2000, calls in calls(50, 300), capacity in 1_usize..20,
    ) {
        let quota = quota(burst, Duration::from_millis(interval));
        let mut shard = Shard::new(quota, capacity);
        for (key, time) in calls {
            shard.check(&key, quota, at(time));
            prop_assert!(shard.len() <= capacity);
            let mut placed: Vec<u8> = shard.wheel.iter().flatten().copied().collect();
            let mut known: Vec<u8> = shard.states.keys().copied().collect();
            placed.sort_unstable();
            known.sort_unstable();
            prop_assert_eq!(placed, known);
        }
    }

    #[test]
    fn whoever_is_forgotten_was_nearest_to_being_whole(
        burst in 1_u32..5, interval in 1_u64..2000, calls in calls(50, 50), capacity in 1_usize..20,
    ) {
        let quota = quota(burst, Duration::from_millis(interval));
        let mut shard = Shard::new(quota, capacity);
        for (key, time) in calls {
            let before = shard.states.clone();
            shard.check(&key, quota, at(time));
            let gone = before.iter().filter(|(known, _)| !shard.states.contains_key(known));
            let kept = before.iter().filter(|(known, _)| shard.states.contains_key(known));
            let latest = gone.map(|(_, state)| shard.tick_of(state.whole_at())).max();
            let earliest = kept.map(|(_, state)| shard.tick_of(state.whole_at())).min();
            if let (Some(latest), Some(earliest)) = (latest, earliest) {
                prop_assert!(latest <= earliest.max(shard.at));
            }
        }
    }
}
