//! How many calls something can take at once, found out from how long they take.
//!
//! Source: Netflix, "Performance Under Load", 2018, and `Gradient2Limit` of its
//! concurrency-limits library, a descendant of TCP Vegas (Brakmo and Peterson, 1994): as long as
//! calls take as long as they usually do the limit grows; when they take longer, they queue
//! somewhere behind it, and it shrinks in proportion.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pitchey_runtime::Monotonic;

/// How the limit follows the latency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientConfig {
    /// The limit at first.
    pub initial: NonZeroUsize,
    /// It never shrinks below.
    pub least: NonZeroUsize,
    /// It never grows above.
    pub most: NonZeroUsize,
    /// How many calls may queue behind the limit: by so much it grows.
    pub queue: f64,
    /// How many times the usual latency is no reason to shrink.
    pub tolerance: f64,
    /// How much of each new estimate is taken over.
    pub smoothing: f64,
    /// Calls are averaged over at least this time, and at least ten of them.
    pub window: Duration,
}

impl GradientConfig {
    /// Between `least` and `most`, which is where it begins: a pool of connections is sized so
    /// that it can take its load on a good day.
    pub const fn new(least: NonZeroUsize, most: NonZeroUsize) -> Self {
        Self {
            initial: most,
            least,
            most,
            queue: 4.0,
            tolerance: 1.5,
            smoothing: 0.2,
            window: Duration::from_millis(100),
        }
    }
}

/// Calls that a window has at least.
const SAMPLES: u32 = 10;
/// The first windows are averaged evenly, to begin with what is usual.
const WARMUP: u32 = 10;
/// From then on the usual latency follows the last 600 windows or so.
const MEMORY: f64 = 2.0 / 601.0;

/// Estimates the limit of a [`Bulkhead`](crate::Bulkhead) from the latency of the calls inside.
#[derive(Debug)]
pub struct GradientLimit {
    config: GradientConfig,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: f64,
    /// The usual latency, in seconds.
    usual: f64,
    windows: u32,
    window: Option<Window>,
}

#[derive(Debug)]
struct Window {
    begun: Monotonic,
    calls: u32,
    total: Duration,
    most_in_flight: usize,
}

impl GradientLimit {
    /// An estimate that knows nothing yet.
    pub fn new(config: GradientConfig) -> Self {
        Self {
            config,
            state: Mutex::new(State {
                limit: config.initial.get() as f64,
                usual: 0.0,
                windows: 0,
                window: None,
            }),
        }
    }

    /// Learns that a call ended `now` after `latency`, while `in_flight` were inside, itself
    /// included. A call that was cut at its timeout counts with the time until then.
    ///
    /// Returns the new limit if there is one, for [`Bulkhead::set_limit`](crate::Bulkhead::set_limit).
    pub fn observe(
        &self,
        latency: Duration,
        in_flight: usize,
        now: Monotonic,
    ) -> Option<NonZeroUsize> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let window = state.window.get_or_insert(Window {
            begun: now,
            calls: 0,
            total: Duration::ZERO,
            most_in_flight: 0,
        });
        window.calls += 1;
        window.total = window.total.saturating_add(latency);
        window.most_in_flight = window.most_in_flight.max(in_flight);
        if window.calls < SAMPLES || now - window.begun < self.config.window {
            return None;
        }
        let window = state.window.take()?;
        let before = whole(state.limit, self.config);
        state.update(&window, self.config);
        let after = whole(state.limit, self.config);
        (before != after).then_some(after)
    }
}

impl State {
    fn update(&mut self, window: &Window, config: GradientConfig) {
        let latency = window.total.as_secs_f64() / f64::from(window.calls);
        self.windows = self.windows.saturating_add(1);
        let weight = if self.windows <= WARMUP {
            1.0 / f64::from(self.windows)
        } else {
            MEMORY
        };
        self.usual += (latency - self.usual) * weight;
        // After a long overload the usual latency is too high: it comes down faster than it rose.
        if self.usual > 2.0 * latency {
            self.usual *= 0.95;
        }
        // A limit that is not made use of has not been put to the test.
        if (window.most_in_flight as f64) < self.limit / 2.0 {
            return;
        }
        let gradient = if latency > 0.0 {
            (config.tolerance * self.usual / latency).clamp(0.5, 1.0)
        } else {
            1.0
        };
        let estimate = self.limit * gradient + config.queue;
        let smoothed = self.limit + (estimate - self.limit) * config.smoothing;
        let (least, most) = (config.least.get() as f64, config.most.get() as f64);
        self.limit = smoothed.min(most).max(least);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the limit lies between two positive integers"
)]
fn whole(limit: f64, config: GradientConfig) -> NonZeroUsize {
    NonZeroUsize::new(limit as usize).unwrap_or(config.least)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(initial: usize, most: usize) -> GradientConfig {
        let number = |number| NonZeroUsize::new(number).expect("not zero");
        GradientConfig {
            initial: number(initial),
            ..GradientConfig::new(number(2), number(most))
        }
    }

    /// Feeds windows of ten calls each and returns the limit after them. `server` says how long
    /// calls take when so many are inside, and how many are.
    fn after(
        gradient: &GradientLimit,
        start: &mut Monotonic,
        windows: u32,
        server: impl Fn(usize) -> (Duration, usize),
    ) -> usize {
        let limit = || gradient.state.lock().expect("not poisoned").limit;
        for _ in 0..windows {
            let inside = whole(limit(), gradient.config).get();
            let (latency, in_flight) = server(inside);
            for _ in 0..SAMPLES {
                *start = *start + gradient.config.window / 9;
                gradient.observe(latency, in_flight, *start);
            }
        }
        whole(limit(), gradient.config).get()
    }

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn it_grows_while_latency_stays_as_it_is() {
        let gradient = GradientLimit::new(config(10, 100));
        let mut now = Monotonic::START;
        let limit = after(&gradient, &mut now, 300, |inside| (MILLISECOND * 5, inside));
        assert_eq!(limit, 100);
    }

    #[test]
    fn it_shrinks_when_latency_rises_and_comes_back_with_it() {
        let gradient = GradientLimit::new(config(50, 100));
        let mut now = Monotonic::START;
        after(&gradient, &mut now, 50, |inside| (MILLISECOND * 5, inside));
        let slow = after(&gradient, &mut now, 30, |inside| (MILLISECOND * 50, inside));
        assert!(slow < 20, "{slow}");
        let back = after(&gradient, &mut now, 300, |inside| (MILLISECOND * 5, inside));
        assert!(back > 90, "{back}");
    }

    #[test]
    fn what_was_usual_in_a_long_overload_is_soon_forgotten() {
        let gradient = GradientLimit::new(config(50, 100));
        let mut now = Monotonic::START;
        after(&gradient, &mut now, 2000, |inside| {
            (MILLISECOND * 50, inside)
        });
        after(&gradient, &mut now, 100, |inside| (MILLISECOND * 5, inside));
        let slow = after(&gradient, &mut now, 30, |inside| (MILLISECOND * 25, inside));
        assert!(slow < 50, "{slow}");
    }

    #[test]
    fn it_does_not_grow_while_nobody_needs_it() {
        let gradient = GradientLimit::new(config(50, 100));
        let mut now = Monotonic::START;
        let limit = after(&gradient, &mut now, 300, |_| (MILLISECOND * 5, 3));
        assert_eq!(limit, 50);
    }

    #[test]
    fn it_settles_near_what_the_server_can_do_at_once() {
        // Twenty at once take 10 ms; more of them wait for each other. Light load goes before.
        let gradient = GradientLimit::new(config(10, 1000));
        let mut now = Monotonic::START;
        let latency = |inside: usize| MILLISECOND.mul_f64(10.0 * (inside as f64 / 20.0).max(1.0));
        let limit = after(&gradient, &mut now, 200, |inside| (latency(inside), inside));
        assert!((20..=60).contains(&limit), "{limit}");
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds(
            initial in 2_usize..100,
            calls in prop::collection::vec((0_u64..u64::MAX, 0_usize..200, 0_u64..1000), 0..500),
        ) {
            let gradient = GradientLimit::new(GradientConfig {
                queue: 0.1,
                ..config(initial, 100)
            });
            let mut now = Monotonic::START;
            let mut limit = initial;
            for (latency, in_flight, pause) in calls {
                now = now + MILLISECOND * u32::try_from(pause).expect("small");
                let changed = gradient.observe(Duration::from_nanos(latency), in_flight, now);
                if let Some(changed) = changed {
                    prop_assert_ne!(changed.get(), limit);
                    limit = changed.get();
                }
                prop_assert!((2..=100).contains(&limit));
            }
        }
    }
}
