//! The point in time after which nobody wants the answer any more.
//!
//! Source: "The Site Reliability Engineering book", Google, 2016, chapter 22, "Latency and
//! Deadlines": one deadline for the whole request, handed on to every call that it causes.

use std::future::Future;
use std::time::Duration;

use pitchey_runtime::{Clock, Elapsed, Monotonic, Timer, timeout};

/// A point in time by which the work must be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Monotonic);

impl Deadline {
    /// The deadline at `point`.
    pub const fn at(point: Monotonic) -> Self {
        Self(point)
    }

    /// The deadline `patience` from now.
    pub fn after(now: Monotonic, patience: Duration) -> Self {
        Self(now + patience)
    }

    /// The deadline of a request: as the client asked for, but at most `cap` from now.
    pub fn of_request(now: Monotonic, asked: Option<Duration>, cap: Duration) -> Self {
        Self::after(now, asked.map_or(cap, |asked| asked.min(cap)))
    }

    /// The point in time.
    pub const fn point(self) -> Monotonic {
        self.0
    }

    /// The earlier of this deadline and `patience` from now: for one attempt, or one call of many.
    #[must_use]
    pub fn capped(self, now: Monotonic, patience: Duration) -> Self {
        self.min(Self::after(now, patience))
    }

    /// The time that is left, zero once it has passed.
    pub const fn remaining(self, now: Monotonic) -> Duration {
        self.0.since(now)
    }

    /// Whether the deadline has come.
    pub fn has_passed(self, now: Monotonic) -> bool {
        self.0 <= now
    }

    /// Whether work that takes `needs` can no longer be in time: then do not begin it.
    pub fn too_late(self, now: Monotonic, needs: Duration) -> bool {
        self.has_passed(now) || self.remaining(now) < needs
    }

    /// Runs `future` until the deadline and drops it then. Does not begin it after the deadline.
    pub async fn run<F: Future>(
        self,
        runtime: &(impl Clock + Timer),
        future: F,
    ) -> Result<F::Output, Elapsed> {
        let remaining = self.remaining(runtime.now());
        if remaining.is_zero() {
            return Err(Elapsed);
        }
        timeout(runtime, remaining, future).await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use pitchey_runtime::ManualRuntime;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NOW: Monotonic = Monotonic::from_start(Duration::from_secs(100));

    #[test]
    fn a_client_may_ask_for_less_than_the_cap_and_not_for_more() {
        let remaining = |asked| Deadline::of_request(NOW, asked, SECOND * 5).remaining(NOW);
        assert_eq!(remaining(None), SECOND * 5);
        assert_eq!(remaining(Some(SECOND)), SECOND);
        assert_eq!(remaining(Some(Duration::MAX)), SECOND * 5);
    }

    #[test]
    fn an_attempt_is_capped_by_the_whole() {
        let deadline = Deadline::after(NOW, SECOND * 2);
        assert_eq!(deadline.capped(NOW, SECOND * 3), deadline);
        assert_eq!(deadline.capped(NOW, SECOND).remaining(NOW), SECOND);
    }

    #[test]
    fn work_that_needs_exactly_what_is_left_is_in_time() {
        let deadline = Deadline::after(NOW, SECOND);
        assert!(!deadline.too_late(NOW, SECOND));
        assert!(deadline.too_late(NOW, SECOND + Duration::from_nanos(1)));
        assert!(deadline.too_late(NOW + SECOND, Duration::ZERO));
    }

    #[test]
    fn work_is_cut_at_the_deadline_and_not_begun_after_it() {
        let runtime = ManualRuntime::new(1);
        let deadline = Deadline::after(runtime.now(), SECOND);
        let mut context = Context::from_waker(Waker::noop());
        let mut running = pin!(deadline.run(&runtime, pending::<()>()));
        assert!(running.as_mut().poll(&mut context).is_pending());
        runtime.clock.advance(SECOND);
        let cut = running.as_mut().poll(&mut context);
        assert_eq!(cut, Poll::Ready(Err(Elapsed)));
        let late = pin!(deadline.run(&runtime, ready(()))).poll(&mut context);
        assert_eq!(late, Poll::Ready(Err(Elapsed)));
    }
}
