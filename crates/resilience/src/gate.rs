//! Permits, and the futures of those who wait for one: what [`Bulkhead`](crate::Bulkhead) and
//! [`Shedder`](crate::Shedder) have in common. In which order the waiters come, and which of them
//! are sent away, is for the [`Line`].

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Those who wait, in some order. It is only touched under the lock of its gate.
pub(crate) trait Line: Send + 'static {
    /// The name of one who waits.
    type Ticket: Copy + Ord + Unpin + Send;

    /// The waker of one who still waits.
    fn waker(&mut self, ticket: Self::Ticket) -> Option<&mut Waker>;

    /// Lets one go who still waits.
    fn remove(&mut self, ticket: Self::Ticket) -> Option<Waker>;

    /// Takes out one whose wait is over. May admit only if there is `room`.
    fn next(&mut self, room: bool) -> Option<Turn<Self::Ticket>>;

    /// How many wait.
    fn len(&self) -> usize;
}

/// The end of a wait.
pub(crate) enum Turn<T> {
    Admit(Waker),
    Refuse(T, Waker),
}

/// A limit on permits, and the line in front of it.
pub(crate) struct Gate<L: Line> {
    state: Mutex<State<L>>,
}

struct State<L: Line> {
    limit: usize,
    /// Permits that are out, those included that were handed to a waiter that has not seen it yet.
    in_flight: usize,
    line: L,
    /// Who was refused and has not seen it yet. Who is neither here nor in line was admitted.
    refused: BTreeSet<L::Ticket>,
}

impl<L: Line> Gate<L> {
    pub(crate) fn new(limit: NonZeroUsize, line: L) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                limit: limit.get(),
                in_flight: 0,
                line,
                refused: BTreeSet::new(),
            }),
        })
    }

    /// A permit if one is free and nobody waits for it.
    pub(crate) fn try_enter(self: &Arc<Self>) -> Option<Permit> {
        let mut state = self.lock();
        if state.in_flight >= state.limit || state.line.len() > 0 {
            return None;
        }
        state.in_flight += 1;
        Some(Permit { gate: self.clone() })
    }

    /// Waits for a permit in the place that `join` takes, if it finds one. The waker that `join`
    /// leaves there is replaced when the future is first polled.
    pub(crate) fn wait(
        self: &Arc<Self>,
        join: impl FnOnce(&mut L) -> Option<L::Ticket>,
    ) -> Option<Waiting<L>> {
        let ticket = join(&mut self.lock().line)?;
        let waiting = Waiting {
            gate: self.clone(),
            ticket: Some(ticket),
        };
        // Someone may have left since it was full, and a line may send away who is one too many.
        self.turn();
        Some(waiting)
    }

    /// Changes the limit. What is inside stays there: a lower limit is reached as calls end.
    pub(crate) fn set_limit(&self, limit: NonZeroUsize) {
        self.lock().limit = limit.get();
        self.turn();
    }

    pub(crate) fn limit(&self) -> usize {
        self.lock().limit
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.lock().in_flight
    }

    pub(crate) fn queued(&self) -> usize {
        self.lock().line.len()
    }

    /// Ends the wait of everyone whose turn it is.
    fn turn(&self) {
        loop {
            let waker = {
                let mut state = self.lock();
                let room = state.in_flight < state.limit;
                match state.line.next(room) {
                    Some(Turn::Admit(waker)) => {
                        state.in_flight += 1;
                        waker
                    }
                    Some(Turn::Refuse(ticket, waker)) => {
                        state.refused.insert(ticket);
                        waker
                    }
                    None => return,
                }
            };
            // Woken outside the lock: a waker may poll, and polling takes the lock.
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<L>> {
        // Nothing that can panic happens between two changes of the state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L: Line> fmt::Debug for Gate<L> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        formatter
            .debug_struct("Gate")
            .field("limit", &state.limit)
            .field("in_flight", &state.in_flight)
            .field("queued", &state.line.len())
            .finish_non_exhaustive()
    }
}

trait Release: Send + Sync {
    fn release(&self);
}

impl<L: Line> Release for Gate<L> {
    fn release(&self) {
        self.lock().in_flight -= 1;
        self.turn();
    }
}

/// The right to be inside, given back on drop.
#[must_use = "a permit that is dropped is given back"]
pub struct Permit {
    gate: Arc<dyn Release>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.release();
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Permit").finish_non_exhaustive()
    }
}

/// Waits for a permit, or for being refused one.
///
/// Dropping it leaves the line; a permit that it was given at that moment goes to the next.
pub(crate) struct Waiting<L: Line> {
    gate: Arc<Gate<L>>,
    /// Gone once the outcome is taken.
    ticket: Option<L::Ticket>,
}

impl<L: Line> Future for Waiting<L> {
    type Output = Option<Permit>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Permit>> {
        let this = &mut *self;
        let ticket = this
            .ticket
            .expect("a future is not polled again once it is ready");
        let mut state = this.gate.lock();
        if let Some(waker) = state.line.waker(ticket) {
            let old = std::mem::replace(waker, context.waker().clone());
            // Dropped outside the lock: the last waker of a task may drop the task and its permit.
            drop(state);
            drop(old);
            return Poll::Pending;
        }
        this.ticket = None;
        Poll::Ready((!state.refused.remove(&ticket)).then(|| Permit {
            gate: this.gate.clone(),
        }))
    }
}

impl<L: Line> Drop for Waiting<L> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let mut state = self.gate.lock();
            let waker = state.line.remove(ticket);
            let admitted = waker.is_none() && !state.refused.remove(&ticket);
            drop(state);
            if admitted {
                self.gate.release();
            }
        }
    }
}
