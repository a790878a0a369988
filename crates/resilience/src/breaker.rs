//! Not calling what is known to be dead or slow.
//!
//! Sources: Nygard, "Release It!", second edition, "Circuit Breaker"; the sliding window, the rate
//! of slow calls and the exact permits of the half-open phase follow Resilience4j.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pitchey_runtime::{Clock, Monotonic};

use machine::Machine;

mod machine;

/// When to open, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Calls that ended longer ago count no more.
    pub window: Duration,
    /// At most so many of the last calls count.
    pub calls: usize,
    /// With fewer calls in the window it stays closed.
    pub minimum_calls: usize,
    /// Opens when so many calls of a hundred have failed.
    pub failure_percent: usize,
    /// A call that takes at least this long is slow.
    pub slow_call: Duration,
    /// Opens when so many calls of a hundred were slow.
    pub slow_percent: usize,
    /// How many calls may try whether it works again; they decide.
    pub half_open_calls: usize,
    /// How long it stays open at first; twice as long after each trial that fails.
    pub open: Duration,
    /// How long it stays open at most.
    pub longest_open: Duration,
}

impl Default for BreakerConfig {
    /// Half of at least 20 calls in 10 s failed, or four of five took a second; open for 5 s,
    /// growing to 60 s.
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            calls: 1000,
            minimum_calls: 20,
            failure_percent: 50,
            slow_call: Duration::from_secs(1),
            slow_percent: 80,
            half_open_calls: 3,
            open: Duration::from_secs(5),
            longest_open: Duration::from_mins(1),
        }
    }
}

/// What the breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Lets them through and counts.
    Closed,
    /// Refuses them.
    Open,
    /// Lets a few through to see whether it works again.
    HalfOpen,
    /// Refuses them, for an operator said so.
    ForcedOpen,
    /// Lets them through whatever happens, for an operator said so.
    ForcedClosed,
}

/// A change of phase: for the log and for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The phase before.
    pub from: Phase,
    /// The phase after.
    pub to: Phase,
    /// When.
    pub at: Monotonic,
}

/// The breaker lets no call through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerOpen {
    /// When it may let one through, at the earliest.
    pub retry_after: Duration,
}

impl fmt::Display for BreakerOpen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("breaker is open")
    }
}

impl Error for BreakerOpen {}

/// Why a call through a breaker has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerError<E> {
    /// The call was not made.
    Open(BreakerOpen),
    /// The call was made and failed.
    Call(E),
}

impl<E> fmt::Display for BreakerError<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(open) => open.fmt(formatter),
            Self::Call(_) => formatter.write_str("call failed"),
        }
    }
}

impl<E: Error + 'static> Error for BreakerError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Open(_) => None,
            Self::Call(error) => Some(error),
        }
    }
}

/// A circuit breaker for one dependency. Clones share the same state.
#[derive(Clone)]
pub struct Breaker {
    shared: Arc<Shared>,
}

struct Shared {
    machine: Mutex<Machine>,
    listener: Box<dyn Fn(Transition) + Send + Sync>,
}

impl Breaker {
    /// A closed breaker that tells nobody of its transitions.
    pub fn new(config: BreakerConfig) -> Self {
        Self::with_listener(config, |_| ())
    }

    /// A closed breaker that calls `listener` after each transition, outside its lock: of two in
    /// quick succession the later may be told first.
    pub fn with_listener(
        config: BreakerConfig,
        listener: impl Fn(Transition) + Send + Sync + 'static,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                machine: Mutex::new(Machine::new(config)),
                listener: Box::new(listener),
            }),
        }
    }

    /// Asks to make a call that begins now.
    pub fn admit(&self, now: Monotonic) -> Result<Call, BreakerOpen> {
        let generation = self.shared.act(now, |machine| machine.admit(now))?;
        Ok(Call {
            shared: self.shared.clone(),
            generation: Some(generation),
            begun: now,
        })
    }

    /// Makes `call` unless the breaker is open. `counts` says which errors are the dependency's
    /// fault; the others count as success.
    ///
    /// A call that is dropped counts as nothing: its timeout belongs inside.
    pub async fn run<T, E>(
        &self,
        clock: &impl Clock,
        counts: impl FnOnce(&E) -> bool,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, BreakerError<E>> {
        let admitted = self.admit(clock.now()).map_err(BreakerError::Open)?;
        let result = call.await;
        match &result {
            Err(error) if counts(error) => admitted.failed(clock.now()),
            _ => admitted.succeeded(clock.now()),
        }
        result.map_err(BreakerError::Call)
    }

    /// The phase at the last call; an open breaker becomes half-open when the next one asks.
    pub fn phase(&self) -> Phase {
        self.shared.lock().phase()
    }

    /// Refuses all calls until [`Breaker::reset`].
    pub fn force_open(&self, now: Monotonic) {
        self.shared.act(now, |machine| machine.force(true));
    }

    /// Lets all calls through until [`Breaker::reset`].
    pub fn force_closed(&self, now: Monotonic) {
        self.shared.act(now, |machine| machine.force(false));
    }

    /// Closes it, forgets what was counted and lets it decide by itself.
    pub fn reset(&self, now: Monotonic) {
        self.shared.act(now, Machine::close);
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Breaker")
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn act<T>(&self, now: Monotonic, act: impl FnOnce(&mut Machine) -> T) -> T {
        let (output, from, to) = {
            let mut machine = self.lock();
            let from = machine.phase();
            (act(&mut machine), from, machine.phase())
        };
        if from != to {
            (self.listener)(Transition { from, to, at: now });
        }
        output
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        // Nothing that can panic happens between two changes of the state.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that the breaker let through. Dropped without a result it counts as nothing, and its
/// permit goes to another call.
#[must_use = "a call that is dropped counts as nothing"]
pub struct Call {
    shared: Arc<Shared>,
    /// Gone once the result is told.
    generation: Option<u64>,
    begun: Monotonic,
}

impl Call {
    /// The dependency did its work.
    pub fn succeeded(self, now: Monotonic) {
        self.end(false, now);
    }

    /// The dependency did not do its work.
    pub fn failed(self, now: Monotonic) {
        self.end(true, now);
    }

    fn end(mut self, failed: bool, now: Monotonic) {
        if let Some(generation) = self.generation.take() {
            let took = now - self.begun;
            self.shared.act(now, |machine| {
                machine.record(generation, failed, took, now);
            });
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(generation) = self.generation {
            self.shared.lock().cancel(generation);
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Call")
            .field("begun", &self.begun)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
