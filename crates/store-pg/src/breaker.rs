//! Not asking a database that is known to be away: what would wait for it in vain is refused at once,
//! and a few calls find out when it is back.

use crate::error::{Failure, is_dead_connection};
use pitchey_resilience::{
    Breaker, BreakerConfig, BreakerOpen, Call, Phase, RetryBudget, Transition,
};
use pitchey_runtime::Clock;
use sqlx::postgres::PgDatabaseError;
use std::time::Duration;

/// As long as the pool lets a call wait for a connection by default: one that takes longer is slow, and one
/// that was given up after so long has failed.
const SLOW: Duration = Duration::from_secs(2);

/// The window is short in calls, so that the successes before an outage are soon outnumbered, and the
/// breaker is open for a short time only: three calls a second are no burden for a database that starts,
/// and it is used again within about a second of its return.
const CONFIG: BreakerConfig = BreakerConfig {
    window: Duration::from_secs(10),
    calls: 100,
    minimum_calls: 20,
    failure_percent: 50,
    slow_call: SLOW,
    slow_percent: 80,
    half_open_calls: 3,
    open: Duration::from_millis(500),
    longest_open: Duration::from_secs(1),
};

/// Extra calls, in percent of all.
const EXTRA_PERCENT: u32 = 10;

/// The breaker in front of one database, and the budget for calls on a new connection in the place of one
/// that was found dead. Clones share both.
#[derive(Debug, Clone)]
pub(crate) struct DatabaseBreaker<C> {
    breaker: Breaker,
    budget: RetryBudget,
    clock: C,
}

impl<C: Clock> DatabaseBreaker<C> {
    /// A closed breaker in front of a pool of so many connections. All of them may be found dead at once,
    /// after a restart, and replaced.
    pub(crate) fn new(connections: u32, clock: C) -> Self {
        let budget = RetryBudget::new(EXTRA_PERCENT, connections);
        for _ in 0..connections.saturating_mul(100 / EXTRA_PERCENT) {
            budget.deposit();
        }
        let breaker = Breaker::with_listener(CONFIG, tell);
        Self {
            breaker,
            budget,
            clock,
        }
    }

    /// Makes a call of which nothing has been done when its connection is found dead: then it is made once
    /// more, if the budget allows. A call that is dropped after a while has failed, too: a database that
    /// hangs lets callers give up and says nothing.
    pub(crate) async fn run<T, F>(&self, call: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let now = self.clock.now();
        let admitted = self.breaker.admit(now).map_err(|open| {
            metrics::counter!("db_calls_refused_total").increment(1);
            sqlx::Error::AnyDriverError(Box::new(open))
        })?;
        let mut outcome = Outcome {
            breaker: self,
            begun: now,
            call: Some(admitted),
        };
        self.budget.deposit();
        let mut result = call().await;
        let is_dead = |failure: &Failure| match failure {
            Failure::Database(error) => is_dead_connection(error),
            Failure::Overloaded(_) | Failure::TooLate => false,
        };
        if result.as_ref().is_err_and(is_dead) && self.budget.try_withdraw() {
            metrics::counter!("db_dead_connections_total").increment(1);
            result = call().await;
        }
        let failed = match &result {
            Err(Failure::Database(error)) => is_away(error),
            // A database that hangs says nothing: time tells.
            Err(Failure::TooLate) => outcome.has_taken_long(),
            Ok(_) | Err(Failure::Overloaded(_)) => false,
        };
        outcome.is(failed);
        result
    }
}

/// What became of a call. Dropped without a word, time tells.
struct Outcome<'a, C: Clock> {
    breaker: &'a DatabaseBreaker<C>,
    begun: pitchey_runtime::Monotonic,
    call: Option<Call>,
}

impl<C: Clock> Outcome<'_, C> {
    fn is(&mut self, failed: bool) {
        let now = self.breaker.clock.now();
        match self.call.take() {
            Some(call) if failed => call.failed(now),
            Some(call) => call.succeeded(now),
            None => {}
        }
    }
}

impl<C: Clock> Outcome<'_, C> {
    fn has_taken_long(&self) -> bool {
        self.breaker.clock.now() - self.begun >= SLOW
    }
}

impl<C: Clock> Drop for Outcome<'_, C> {
    fn drop(&mut self) {
        if self.has_taken_long() {
            self.is(true);
        }
    }
}

/// The breaker's refusal, if the error is that.
pub(crate) fn as_open(error: &sqlx::Error) -> Option<BreakerOpen> {
    match error {
        sqlx::Error::AnyDriverError(error) => error.downcast_ref().copied(),
        _ => None,
    }
}

/// Whether the error says that the database cannot be used, by anyone.
fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => true,
        // A statement that was cancelled, or did not get its lock in time, says nothing of others.
        sqlx::Error::Database(database) => database
            .try_downcast_ref::<PgDatabaseError>()
            .is_some_and(|pg| pitchey_reads::is_away(pg.code())),
        _ => false,
    }
}

/// Tells the figures and the log of a change.
fn tell(transition: Transition) {
    let to = match transition.to {
        Phase::Closed | Phase::ForcedClosed => "closed",
        Phase::Open | Phase::ForcedOpen => "open",
        Phase::HalfOpen => "half_open",
    };
    metrics::counter!("db_breaker_transitions_total", "to" => to).increment(1);
    metrics::gauge!("db_breaker_open").set(if to == "closed" { 0.0 } else { 1.0 });
    // From open to half-open and back is the same outage.
    match (transition.from, to) {
        (Phase::Closed, "open") => tracing::warn!("the database is away: calls are refused"),
        (_, "closed") => tracing::info!("the database is back"),
        _ => tracing::debug!(to, "the breaker of the database"),
    }
}

#[cfg(test)]
mod tests;
