//! Answering some in time rather than all too late: the queue at the front door.
//!
//! Sources: `CoDel` (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue, 2012; RFC 8289), in
//! the form for servers of Maurer, "Fail at Scale", ACM Queue, 2015: a queue that stands for an
//! interval is overload and not a burst. From then on the newest are served first, for they are
//! those who still wait for an answer, and nobody waits longer than a short target.
//!
//! The queue stands until a permit is free that nobody waits for. In an overload that happens, too,
//! by chance and because people are sent away; so an overload is believed for ten intervals, and
//! only then has to prove itself anew.
//!
//! Priorities are strict, and each is judged by itself and those before it: analytics cannot make
//! a payment look like overload.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use pitchey_runtime::{Clock, Monotonic, Timer, timeout};

use crate::Deadline;
use crate::gate::{Gate, Line, Permit, Turn};

/// What goes first, in descending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Health checks and writes of money.
    Critical,
    /// What somebody looks at while it loads.
    Normal,
    /// What is counted or reported.
    Low,
    /// What nobody waits for, as warming a cache.
    Background,
}

const PRIORITIES: [Priority; 4] = [
    Priority::Critical,
    Priority::Normal,
    Priority::Low,
    Priority::Background,
];

/// How long a queue may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShedConfig {
    /// How many may be inside at once.
    pub limit: NonZeroUsize,
    /// How many may wait.
    pub queue: usize,
    /// The longest wait in an overload.
    pub target: Duration,
    /// The longest wait otherwise, and how long a queue stands until that is an overload.
    pub interval: Duration,
    /// When those who are sent away may come again.
    pub retry_after: Duration,
}

impl ShedConfig {
    /// For `limit` calls at once: four times as many may wait, 5 ms in an overload and 100 ms else.
    pub const fn new(limit: NonZeroUsize) -> Self {
        Self {
            limit,
            queue: limit.get().saturating_mul(4),
            target: Duration::from_millis(5),
            interval: Duration::from_millis(100),
            retry_after: Duration::from_secs(1),
        }
    }
}

/// The call was sent away unserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shed {
    /// When it may come again.
    pub retry_after: Duration,
}

impl fmt::Display for Shed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("too much to do")
    }
}

impl std::error::Error for Shed {}

/// A limit on concurrent calls whose queue never stands. Clones share the same limit.
#[derive(Clone)]
pub struct Shedder<R: Clock + Clone + Send + 'static> {
    runtime: R,
    gate: Arc<Gate<CoDel<R>>>,
    config: ShedConfig,
}

impl<R: Clock + Timer + Clone + Send + 'static> Shedder<R> {
    /// A front door with nobody in front of it.
    pub fn new(runtime: R, config: ShedConfig) -> Self {
        let line = CoDel::new(runtime.clone(), config);
        Self {
            runtime,
            gate: Gate::new(config.limit, line),
            config,
        }
    }

    /// Lets the call in as soon as it is its turn, or sends it away: at once if the queue is full
    /// of what is no less urgent, else within the target or the interval.
    ///
    /// Dropping the future leaves the queue.
    pub async fn admit(&self, priority: Priority, deadline: Deadline) -> Result<Permit, Shed> {
        let shed = Shed {
            retry_after: self.config.retry_after,
        };
        let now = self.runtime.now();
        if deadline.has_passed(now) {
            return Err(shed);
        }
        if let Some(permit) = self.gate.try_enter() {
            return Ok(permit);
        }
        let patience = deadline.remaining(now).min(self.config.interval);
        let waiting = self
            .gate
            .wait(|line| Some(line.join(priority)))
            .ok_or(shed)?;
        let outcome = timeout(&self.runtime, patience, waiting).await;
        outcome.ok().flatten().ok_or(shed)
    }

    /// Changes the limit. What is inside stays there: a lower limit is reached as calls end.
    pub fn set_limit(&self, limit: NonZeroUsize) {
        self.gate.set_limit(limit);
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

impl<R: Clock + Clone + Send + 'static> fmt::Debug for Shedder<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Shedder")
            .field("gate", &self.gate)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

struct Waiter {
    since: Monotonic,
    waker: Waker,
}

/// Who waits, by priority and in the order of arrival.
struct CoDel<C> {
    clock: C,
    config: ShedConfig,
    next_number: u64,
    waiters: [BTreeMap<u64, Waiter>; PRIORITIES.len()],
    standing: [Standing; PRIORITIES.len()],
}

#[derive(Clone, Copy, Default)]
struct Standing {
    /// Since when no permit has been free that nobody of this priority, or of one before it, wanted.
    since: Option<Monotonic>,
    /// Until when it is an overload though it has not been standing for an interval.
    believed_until: Monotonic,
}

/// How many intervals an overload is believed. More of them keep sending people away for longer
/// after it is over; with fewer more of the time goes into proving it again.
const BELIEVED: u32 = 10;

impl<C: Clock + Send + 'static> CoDel<C> {
    fn new(clock: C, config: ShedConfig) -> Self {
        Self {
            clock,
            config,
            next_number: 0,
            waiters: Default::default(),
            standing: Default::default(),
        }
    }

    /// Always finds a place: [`Line::next`] sends away who is one too many.
    fn join(&mut self, priority: Priority) -> (Priority, u64) {
        let number = self.next_number;
        self.next_number += 1;
        let waiter = Waiter {
            since: self.clock.now(),
            waker: Waker::noop().clone(),
        };
        for standing in &mut self.standing[priority as usize..] {
            standing.since.get_or_insert(waiter.since);
        }
        self.waiters[priority as usize].insert(number, waiter);
        (priority, number)
    }

    /// Believes in an overload where the queue has been standing for an interval.
    fn judge(&mut self, now: Monotonic) {
        for standing in &mut self.standing {
            if standing
                .since
                .is_some_and(|since| now - since >= self.config.interval)
            {
                standing.believed_until = now + self.config.interval.saturating_mul(BELIEVED);
            }
        }
    }

    fn overloaded(&self, priority: Priority, now: Monotonic) -> bool {
        now < self.standing[priority as usize].believed_until
    }

    /// Who has to go: the oldest of the least urgent when there are too many, or whoever waits
    /// for too long.
    fn refused(&self, now: Monotonic) -> Option<(Priority, u64)> {
        let oldest = |priority: Priority| {
            let (number, waiter) = self.waiters[priority as usize].first_key_value()?;
            Some((priority, *number, waiter.since))
        };
        if self.len() > self.config.queue {
            let (priority, number, _) = PRIORITIES.into_iter().rev().find_map(oldest)?;
            return Some((priority, number));
        }
        PRIORITIES.into_iter().find_map(|priority| {
            let (priority, number, since) = oldest(priority)?;
            let patience = if self.overloaded(priority, now) {
                self.config.target
            } else {
                self.config.interval
            };
            (now - since > patience).then_some((priority, number))
        })
    }

    fn take(&mut self, (priority, number): (Priority, u64)) -> Option<Waker> {
        let waiter = self.waiters[priority as usize].remove(&number)?;
        Some(waiter.waker)
    }
}

impl<C: Clock + Send + 'static> Line for CoDel<C> {
    type Ticket = (Priority, u64);

    fn waker(&mut self, (priority, number): Self::Ticket) -> Option<&mut Waker> {
        let waiter = self.waiters[priority as usize].get_mut(&number)?;
        Some(&mut waiter.waker)
    }

    fn remove(&mut self, ticket: Self::Ticket) -> Option<Waker> {
        self.take(ticket)
    }

    fn next(&mut self, room: bool) -> Option<Turn<Self::Ticket>> {
        let now = self.clock.now();
        self.judge(now);
        if let Some(ticket) = self.refused(now) {
            return Some(Turn::Refuse(ticket, self.take(ticket)?));
        }
        if !room {
            return None;
        }
        let ticket = PRIORITIES.into_iter().find_map(|priority| {
            let waiters = &self.waiters[priority as usize];
            if waiters.is_empty() {
                self.standing[priority as usize].since = None;
            }
            let number = if self.overloaded(priority, now) {
                waiters.last_key_value()?.0
            } else {
                waiters.first_key_value()?.0
            };
            Some((priority, *number))
        })?;
        Some(Turn::Admit(self.take(ticket)?))
    }

    fn len(&self) -> usize {
        self.waiters.iter().map(BTreeMap::len).sum()
    }
}

#[cfg(test)]
mod tests;
