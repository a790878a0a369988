//! Asking again, without making an outage worse.
//!
//! Sources: full jitter from Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog,
//! 2015; the budget from "Site Reliability Engineering", Google, 2016, chapter 21, and Finagle's
//! `RetryBudget`. Only idempotent calls may be retried, and at one layer only: both are the
//! caller's word.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pitchey_runtime::{Clock, Monotonic, Random, Timer};

use crate::Deadline;

/// How many extra calls are allowed, as a share of all calls. Clones share the same tokens.
///
/// It starts empty, so that at every moment of its life the extra calls are at most that share of
/// the calls so far. What is not spent is saved up to a reserve.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    percent: u32,
    capacity: u32,
    /// In hundredths of a token.
    saved: Arc<AtomicU32>,
}

impl RetryBudget {
    /// `percent` extra calls for a hundred calls; at most `reserve` of them saved up.
    pub fn new(percent: u32, reserve: u32) -> Self {
        Self {
            percent,
            capacity: reserve.saturating_mul(100),
            saved: Arc::default(),
        }
    }

    /// Counts a call that is not an extra one.
    pub fn deposit(&self) {
        self.saved
            .update(Ordering::Relaxed, Ordering::Relaxed, |saved| {
                saved.saturating_add(self.percent).min(self.capacity)
            });
    }

    /// Takes the token for one extra call, if there is one.
    pub fn try_withdraw(&self) -> bool {
        self.saved
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |saved| {
                saved.checked_sub(100)
            })
            .is_ok()
    }
}

impl Default for RetryBudget {
    /// Ten percent, ten saved up.
    fn default() -> Self {
        Self::new(10, 10)
    }
}

/// What an error says about asking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The same call would fail again.
    Permanent,
    /// The same call may succeed.
    Transient,
    /// The same call may succeed, but not before this time has passed (`Retry-After`).
    After(Duration),
}

/// Why there was no further attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The error was permanent.
    Permanent,
    /// All attempts were used.
    Attempts,
    /// Another attempt could not have been in time.
    Deadline,
    /// The budget for extra calls was spent.
    Budget,
}

/// The end of a call without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed<E> {
    /// The deadline left no room for a first attempt.
    TooLate,
    /// The last attempt ended in an error.
    Error {
        /// The error of the last attempt.
        error: E,
        /// How many attempts there were.
        attempts: u32,
        /// Why there was no further one.
        stopped: Stopped,
    },
}

impl<E> fmt::Display for Failed<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLate => formatter.write_str("no time left for an attempt"),
            Self::Error { attempts: 1, .. } => formatter.write_str("attempt failed"),
            Self::Error { attempts, .. } => write!(formatter, "all {attempts} attempts failed"),
        }
    }
}

impl<E: Error + 'static> Error for Failed<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::TooLate => None,
            Self::Error { error, .. } => Some(error),
        }
    }
}

/// How often to try, and how long to wait in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts: NonZeroU32,
    /// The longest wait before the second attempt; it doubles for each further one.
    pub base: Duration,
    /// The longest wait before any attempt, unless the error asks for more.
    pub longest: Duration,
    /// What an attempt needs at least: with less time left it is not begun.
    pub needs: Duration,
}

impl Default for RetryPolicy {
    /// Three attempts, from 100 ms to 2 s.
    fn default() -> Self {
        Self {
            attempts: const { NonZeroU32::new(3).expect("not zero") },
            base: Duration::from_millis(100),
            longest: Duration::from_secs(2),
            needs: Duration::ZERO,
        }
    }
}

impl RetryPolicy {
    /// The wait before the next attempt, once `made` of them have failed, the last one as
    /// `failure` says. Takes a token of `budget` if there is to be one.
    pub fn next(
        &self,
        made: u32,
        failure: Failure,
        budget: &RetryBudget,
        deadline: Deadline,
        now: Monotonic,
        random: &impl Random,
    ) -> Result<Duration, Stopped> {
        let asked = match failure {
            Failure::Permanent => return Err(Stopped::Permanent),
            Failure::Transient => Duration::ZERO,
            Failure::After(asked) => asked,
        };
        if made >= self.attempts.get() {
            return Err(Stopped::Attempts);
        }
        let doubled = 1_u32
            .checked_shl(made.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let backoff = self.base.saturating_mul(doubled).min(self.longest);
        // Jitter on top of what was asked for: else all who were sent away come back together.
        let wait = asked.saturating_add(fraction(backoff, random));
        if deadline.too_late(now, wait.saturating_add(self.needs)) {
            return Err(Stopped::Deadline);
        }
        if !budget.try_withdraw() {
            return Err(Stopped::Budget);
        }
        Ok(wait)
    }

    /// Calls `attempt` with the numbers from 1 on until it succeeds or another attempt is not to
    /// be made. `classify` says what an error means; an open breaker and a refused permit are
    /// permanent. The attempts' own timeout is the caller's: [`Deadline::capped`].
    pub async fn run<T, E, F>(
        &self,
        runtime: &(impl Clock + Timer + Random),
        budget: &RetryBudget,
        deadline: Deadline,
        classify: impl Fn(&E) -> Failure,
        mut attempt: impl FnMut(u32) -> F,
    ) -> Result<T, Failed<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        if deadline.too_late(runtime.now(), self.needs) {
            return Err(Failed::TooLate);
        }
        budget.deposit();
        let mut attempts = 1;
        loop {
            let error = match attempt(attempts).await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            let failure = classify(&error);
            match self.next(attempts, failure, budget, deadline, runtime.now(), runtime) {
                Ok(wait) => runtime.sleep(wait).await,
                Err(stopped) => {
                    return Err(Failed::Error {
                        error,
                        attempts,
                        stopped,
                    });
                }
            }
            attempts += 1;
        }
    }
}

/// A random part of `whole`.
fn fraction(whole: Duration, random: &impl Random) -> Duration {
    // The upper 53 bits fill the mantissa: evenly distributed over [0, 1).
    whole.mul_f64((random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests;
