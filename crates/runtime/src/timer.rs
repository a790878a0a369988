//! Waiting, and waiting no longer than.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Waits.
pub trait Timer {
    /// Completes once `duration` has passed, counted from this call. Dropping the future cancels.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static;
}

impl<T: Timer + ?Sized> Timer for &T {
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        (**self).sleep(duration)
    }
}

impl<T: Timer + ?Sized> Timer for Arc<T> {
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        (**self).sleep(duration)
    }
}

/// The time given to [`timeout`] has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("deadline has elapsed")
    }
}

impl std::error::Error for Elapsed {}

/// Runs `future` for at most `duration`, then drops it and returns [`Elapsed`].
///
/// A future that is ready at the very moment the time is up still wins.
pub async fn timeout<F: Future>(
    timer: &impl Timer,
    duration: Duration,
    future: F,
) -> Result<F::Output, Elapsed> {
    let mut sleep = pin!(timer.sleep(duration));
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        sleep.as_mut().poll(context).map(|()| Err(Elapsed))
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::task::{Context, Waker};

    use super::*;
    use crate::{ManualClock, ManualTimer};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_future_in_time_gives_its_output() {
        let timer = ManualTimer::new(&ManualClock::new());
        let mut waiting = pin!(timeout(&timer, SECOND, ready(7)));
        let polled = waiting
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(Ok(7)));
    }

    #[test]
    fn a_future_that_is_late_is_cut_at_its_deadline() {
        let clock = ManualClock::new();
        let timer = ManualTimer::new(&clock);
        let mut waiting = pin!(timeout(&timer, SECOND, pending::<()>()));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Pending);
        clock.advance(Duration::from_nanos(999_999_999));
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Pending);
        clock.advance(Duration::from_nanos(1));
        assert_eq!(
            waiting.as_mut().poll(&mut context),
            Poll::Ready(Err(Elapsed))
        );
    }
}
