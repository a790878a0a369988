//! What keeps a call to something slow or dead from becoming our own slowness or death.
//!
//! Every piece is a state machine that is told the time ([`pitchey_runtime::Monotonic`], or a
//! `&impl Clock`) and knows nothing of sockets, so that the same code runs in servers, on Workers
//! and under a manual clock. Where something must wait there is a thin future over the
//! [`Timer`](pitchey_runtime::Timer) port that may be dropped at any moment.
//!
//! The order around a call: rate limit → deadline → bulkhead → retry → breaker → timeout.
//!
//! ```
//! use std::time::Duration;
//!
//! use pitchey_resilience::{
//!     Breaker, BreakerError, Bulkhead, Deadline, Failure, RetryBudget, RetryPolicy,
//! };
//! use pitchey_runtime::{Clock, Elapsed, Runtime};
//!
//! async fn read(
//!     runtime: &impl Runtime,
//!     deadline: Deadline,
//!     bulkhead: &Bulkhead,
//!     breaker: &Breaker,
//!     budget: &RetryBudget,
//! ) -> Option<String> {
//!     let patience = deadline.remaining(runtime.now());
//!     let _permit = bulkhead.acquire(runtime, patience).await.ok()?;
//!     let classify = |error: &BreakerError<Elapsed>| match error {
//!         BreakerError::Open(_) => Failure::Permanent,
//!         BreakerError::Call(Elapsed) => Failure::Transient,
//!     };
//!     let attempt = |_| {
//!         let attempt = deadline.capped(runtime.now(), Duration::from_secs(3));
//!         let call = async { String::from("what the dependency says") };
//!         breaker.run(runtime, |_| true, attempt.run(runtime, call))
//!     };
//!     let policy = RetryPolicy::default();
//!     policy.run(runtime, budget, deadline, classify, attempt).await.ok()
//! }
//! ```

mod breaker;
mod bulkhead;
mod deadline;
mod gate;
mod gradient;
mod hedge;
pub mod limit;
mod outlier;
mod rate_limit;
mod retry;
mod shed;

pub use breaker::{Breaker, BreakerConfig, BreakerError, BreakerOpen, Call, Phase, Transition};
pub use bulkhead::{Bulkhead, Rejected};
pub use deadline::Deadline;
pub use gate::Permit;
pub use gradient::{GradientConfig, GradientLimit};
pub use hedge::Hedge;
pub use outlier::{Ejection, Endpoints, OutlierConfig, Pick};
pub use rate_limit::{Gcra, KeyedRateLimiter, Quota, Verdict};
pub use retry::{Failed, Failure, RetryBudget, RetryPolicy, Stopped};
pub use shed::{Priority, Shed, ShedConfig, Shedder};

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::num::NonZeroUsize;

    use pitchey_runtime::{ManualRuntime, Monotonic};

    use super::*;

    /// What `tokio::spawn` asks for, but for `'static`.
    fn can_move_between_threads<T: Send>(_: &T) {}

    #[test]
    fn every_future_can_be_awaited_on_any_thread() {
        let runtime = ManualRuntime::new(1);
        let limit = NonZeroUsize::MIN;
        let deadline = Deadline::at(Monotonic::START);
        let call = || ready(Ok::<(), ()>(()));
        let bulkhead = Bulkhead::new(limit, 1);
        can_move_between_threads(&bulkhead.acquire(&runtime, std::time::Duration::MAX));
        let shedder = Shedder::new(runtime.clone(), ShedConfig::new(limit));
        can_move_between_threads(&shedder.admit(Priority::Normal, deadline));
        can_move_between_threads(&deadline.run(&runtime, call()));
        let budget = RetryBudget::default();
        let policy = RetryPolicy::default();
        let classify = |&(): &()| Failure::Permanent;
        can_move_between_threads(&policy.run(&runtime, &budget, deadline, classify, |_| call()));
        let breaker = Breaker::new(BreakerConfig::default());
        can_move_between_threads(&breaker.run(&runtime, |()| true, call()));
        let hedge = Hedge::new(budget);
        can_move_between_threads(&hedge.run(&runtime, call));
    }
}
