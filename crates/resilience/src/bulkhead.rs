//! How many calls may be inside something at once, and how many may wait in front of it.
//!
//! Source: Nygard, "Release It!", second edition, "Bulkheads". The queue is first come, first
//! served, has a bounded length, and every waiter brings its own patience.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use pitchey_runtime::{Timer, timeout};

use crate::gate::{Gate, Line, Permit, Turn};

/// Why a [`Bulkhead`] did not let a call in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// All permits are out and the queue is full.
    Full,
    /// No permit became free in time.
    TimedOut,
}

impl fmt::Display for Rejected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full => "too many calls are waiting",
            Self::TimedOut => "no permit became free in time",
        })
    }
}

impl std::error::Error for Rejected {}

/// A limit on concurrent calls with a bounded queue. Clones share the same limit.
#[derive(Clone, Debug)]
pub struct Bulkhead {
    gate: Arc<Gate<Fifo>>,
}

impl Bulkhead {
    /// Lets `limit` calls in at once, and `queue` more wait.
    pub fn new(limit: NonZeroUsize, queue: usize) -> Self {
        Self {
            gate: Gate::new(
                limit,
                Fifo {
                    capacity: queue,
                    next_ticket: 0,
                    waiters: BTreeMap::new(),
                },
            ),
        }
    }

    /// Waits at most `max_wait` for a permit; refuses at once when the queue is full.
    ///
    /// Dropping the future leaves the queue; a permit that it was given at that moment goes to the
    /// next in line.
    pub async fn acquire(
        &self,
        timer: &impl Timer,
        max_wait: Duration,
    ) -> Result<Permit, Rejected> {
        if let Some(permit) = self.try_acquire() {
            return Ok(permit);
        }
        let waiting = self.gate.wait(Fifo::join).ok_or(Rejected::Full)?;
        match timeout(timer, max_wait, waiting).await {
            Ok(permit) => permit.ok_or(Rejected::Full),
            Err(_) => Err(Rejected::TimedOut),
        }
    }

    /// A permit if one is free and nobody waits for it.
    pub fn try_acquire(&self) -> Option<Permit> {
        self.gate.try_enter()
    }

    /// Changes the limit. What is inside stays there: a lower limit is reached as calls end.
    pub fn set_limit(&self, limit: NonZeroUsize) {
        self.gate.set_limit(limit);
    }

    /// How many calls may be inside at once.
    pub fn limit(&self) -> usize {
        self.gate.limit()
    }

    /// How many calls are inside.
    pub fn in_flight(&self) -> usize {
        self.gate.in_flight()
    }

    /// How many calls wait.
    pub fn queued(&self) -> usize {
        self.gate.queued()
    }
}

/// First come, first served. Tickets are numbered, so that their order is that of arrival.
struct Fifo {
    capacity: usize,
    next_ticket: u64,
    waiters: BTreeMap<u64, Waker>,
}

impl Fifo {
    fn join(&mut self) -> Option<u64> {
        if self.waiters.len() >= self.capacity {
            return None;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiters.insert(ticket, Waker::noop().clone());
        Some(ticket)
    }
}

impl Line for Fifo {
    type Ticket = u64;

    fn waker(&mut self, ticket: u64) -> Option<&mut Waker> {
        self.waiters.get_mut(&ticket)
    }

    fn remove(&mut self, ticket: u64) -> Option<Waker> {
        self.waiters.remove(&ticket)
    }

    fn next(&mut self, room: bool) -> Option<Turn<u64>> {
        let (_, waker) = room.then(|| self.waiters.pop_first()).flatten()?;
        Some(Turn::Admit(waker))
    }

    fn len(&self) -> usize {
        self.waiters.len()
    }
}

#[cfg(test)]
mod tests;
