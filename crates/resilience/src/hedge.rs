//! Asking twice when the first answer is late.
//!
//! Source: Dean and Barroso, "The Tail at Scale", Communications of the ACM, 2013, "Hedged
//! requests". For reads alone: both calls may be carried out. The second call is an extra one, and
//! is paid for from the budget of retries.

use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use pitchey_runtime::{Clock, Monotonic, Timer};

use crate::RetryBudget;

/// How many of the last latencies are remembered.
const REMEMBERED: usize = 128;
/// With fewer than this there is no saying what is late.
const ENOUGH: usize = 32;

/// Knows how long calls take, and makes a second one when the first takes longer than 95 of 100.
#[derive(Debug)]
pub struct Hedge {
    budget: RetryBudget,
    latencies: Mutex<Latencies>,
}

#[derive(Debug, Default)]
struct Latencies {
    last: Vec<Duration>,
    /// The place of the oldest, once all places are taken.
    oldest: usize,
}

impl Hedge {
    /// A hedge that knows nothing yet, and spends from `budget`.
    pub fn new(budget: RetryBudget) -> Self {
        Self {
            budget,
            latencies: Mutex::default(),
        }
    }

    /// Learns how long a first call took, or how long it had taken when it was given up.
    pub fn observe(&self, latency: Duration) {
        let mut latencies = self.lock();
        let oldest = latencies.oldest;
        if latencies.last.len() < REMEMBERED {
            latencies.last.push(latency);
        } else {
            latencies.last[oldest] = latency;
            latencies.oldest = (oldest + 1) % REMEMBERED;
        }
    }

    /// The 95th percentile of the last calls: after this time a second call is worth its price.
    /// Nothing until enough calls were seen.
    pub fn delay(&self) -> Option<Duration> {
        let mut last = {
            let latencies = self.lock();
            (latencies.last.len() >= ENOUGH).then(|| latencies.last.clone())?
        };
        let rank = last.len() * 95 / 100;
        Some(*last.select_nth_unstable(rank).1)
    }

    /// Makes a call, and another one if the first is late and the budget allows it. The first
    /// success wins and the other call is dropped; an error waits for the call that still runs.
    pub async fn run<T, E, F>(
        &self,
        runtime: &(impl Clock + Timer),
        mut call: impl FnMut() -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut first = pin!(call());
        let mut running = Running {
            hedge: self,
            clock: runtime,
            begun: Some(runtime.now()),
        };
        let early = match self.delay() {
            None => Some(first.as_mut().await),
            Some(delay) => {
                let mut late = pin!(runtime.sleep(delay));
                std::future::poll_fn(|context| match first.as_mut().poll(context) {
                    Poll::Ready(result) => Poll::Ready(Some(result)),
                    Poll::Pending => late.as_mut().poll(context).map(|()| None),
                })
                .await
            }
        };
        if let Some(result) = early {
            return result;
        }
        if !self.budget.try_withdraw() {
            return first.await;
        }
        let mut second = pin!(call());
        let (mut first_failed, mut second_failed) = (false, false);
        std::future::poll_fn(|context| {
            if !first_failed && let Poll::Ready(result) = first.as_mut().poll(context) {
                running.end();
                if result.is_ok() || second_failed {
                    return Poll::Ready(result);
                }
                first_failed = true;
            }
            if !second_failed && let Poll::Ready(result) = second.as_mut().poll(context) {
                if result.is_ok() || first_failed {
                    return Poll::Ready(result);
                }
                second_failed = true;
            }
            Poll::Pending
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Latencies> {
        // Nothing that can panic happens between two changes of the state.
        self.latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the latency of the first call when it ends, or when nobody waits for it any more: a call
/// that was cut off was late, and leaving it out would make all look fast.
struct Running<'a, C: Clock> {
    hedge: &'a Hedge,
    clock: &'a C,
    /// Gone once it is told.
    begun: Option<Monotonic>,
}

impl<C: Clock> Running<'_, C> {
    fn end(&mut self) {
        if let Some(begun) = self.begun.take() {
            self.hedge.observe(self.clock.now() - begun);
        }
    }
}

impl<C: Clock> Drop for Running<'_, C> {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use pitchey_runtime::ManualRuntime;
    use proptest::prelude::*;

    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// A hedge that has seen a hundred calls of 1 to 100 ms, with one token to spend.
    fn experienced() -> Hedge {
        let budget = RetryBudget::new(100, 1);
        budget.deposit();
        let hedge = Hedge::new(budget);
        (1..=100).for_each(|latency| hedge.observe(MILLISECOND * latency));
        hedge
    }

    type Outcome = Result<&'static str, &'static str>;

    /// Runs with calls that take so long and end so, and tells the result, when it came, and how
    /// many calls there were.
    fn run(hedge: &Hedge, calls: [(u32, Outcome); 2]) -> (Outcome, Duration, usize) {
        let runtime = ManualRuntime::new(1);
        let start = runtime.now();
        let left = RefCell::new(calls.to_vec());
        let mut running: Pin<Box<dyn Future<Output = Outcome> + '_>> =
            Box::pin(hedge.run(&runtime, || {
                let (takes, result) = left.borrow_mut().remove(0);
                let sleep = runtime.sleep(MILLISECOND * takes);
                async move {
                    sleep.await;
                    result
                }
            }));
        let mut context = Context::from_waker(Waker::noop());
        let result = loop {
            if let Poll::Ready(result) = running.as_mut().poll(&mut context) {
                break result;
            }
            let next = runtime.clock.next_deadline().expect("it sleeps");
            runtime.clock.advance(next - runtime.now());
        };
        (result, runtime.now() - start, 2 - left.borrow().len())
    }

    #[test]
    fn a_second_call_is_made_when_the_first_is_late_and_the_winner_is_taken() {
        let calls = [(900, Ok("first")), (10, Ok("second"))];
        assert_eq!(
            run(&experienced(), calls),
            (Ok("second"), MILLISECOND * 106, 2)
        );
        let calls = [(100, Ok("first")), (10, Ok("second"))];
        assert_eq!(
            run(&experienced(), calls),
            (Ok("first"), MILLISECOND * 100, 2)
        );
    }

    #[test]
    fn a_first_call_in_time_is_the_only_one() {
        let calls = [(90, Ok("first")), (1, Ok("second"))];
        assert_eq!(
            run(&experienced(), calls),
            (Ok("first"), MILLISECOND * 90, 1)
        );
        let calls = [(90, Err("first")), (1, Ok("second"))];
        assert_eq!(
            run(&experienced(), calls),
            (Err("first"), MILLISECOND * 90, 1)
        );
    }

    #[test]
    fn an_error_waits_for_the_other_call() {
        let calls = [(900, Ok("first")), (1, Err("second"))];
        assert_eq!(
            run(&experienced(), calls),
            (Ok("first"), MILLISECOND * 900, 2)
        );
        let calls = [(100, Err("first")), (10, Ok("second"))];
        assert_eq!(
            run(&experienced(), calls),
            (Ok("second"), MILLISECOND * 106, 2)
        );
        let calls = [(100, Err("first")), (10, Err("second"))];
        assert_eq!(
            run(&experienced(), calls),
            (Err("second"), MILLISECOND * 106, 2)
        );
    }

    #[test]
    fn without_budget_or_experience_there_is_one_call() {
        let calls = [(900, Ok("first")), (1, Ok("second"))];
        let hedge = experienced();
        assert!(hedge.budget.try_withdraw());
        assert_eq!(run(&hedge, calls).2, 1);
        let hedge = Hedge::new(RetryBudget::new(100, 1));
        hedge.budget.deposit();
        assert_eq!(run(&hedge, calls).2, 1);
    }

    #[test]
    fn a_call_that_was_beaten_or_dropped_counts_as_late() {
        let hedge = experienced();
        let (result, ..) = run(&hedge, [(900, Ok("first")), (10, Ok("second"))]);
        assert_eq!(result, Ok("second"));
        assert_eq!(hedge.lock().last.last(), Some(&(MILLISECOND * 106)));
        let runtime = ManualRuntime::new(1);
        let mut dropped = Box::pin(hedge.run(&runtime, std::future::pending::<Outcome>));
        let mut context = Context::from_waker(Waker::noop());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        runtime.clock.advance(MILLISECOND * 50);
        drop(dropped);
        assert_eq!(hedge.lock().last.last(), Some(&(MILLISECOND * 50)));
    }

    proptest! {
        #[test]
        fn the_delay_is_the_95th_percentile_of_the_last_calls(
            latencies in prop::collection::vec(0_u32..1000, 0..400),
        ) {
            let hedge = Hedge::new(RetryBudget::default());
            for latency in &latencies {
                hedge.observe(MILLISECOND * *latency);
            }
            let mut last = latencies[latencies.len().saturating_sub(REMEMBERED)..].to_vec();
            last.sort_unstable();
            let expected = (last.len() >= ENOUGH).then(|| MILLISECOND * last[last.len() * 95 / 100]);
            prop_assert_eq!(hedge.delay(), expected);
        }
    }
}
