//! One load for each key at a time in a process: who leads, who waits, and who takes over.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pitchey_runtime::Monotonic;

use crate::answer::{Answer, GetError};
use crate::stamp::{Granting, Lease, Stamp};
use crate::tag::TagCell;

pub(crate) type Outcome<V, E> = Result<Answer<V>, GetError<E>>;

const SHARDS: usize = 32;

/// The loads in flight.
pub(crate) struct Flights<V, E> {
    shards: [Mutex<Table<V, E>>; SHARDS],
    hasher: RandomState,
    ended: AtomicU64,
}

type Table<V, E> = HashMap<Arc<str>, Arc<Flight<V, E>>, RandomState>;

/// A load in flight.
pub(crate) struct Flight<V, E> {
    /// What the load has seen at least. Who asks after a later invalidation does not join.
    began: AtomicU64,
    began_at: AtomicU64,
    /// The cells of the tags that are known, and of the families of those that are not.
    cells: Box<[Arc<TagCell>]>,
    /// Nobody joins any more: what comes of it may be old for those who ask now.
    closed: AtomicBool,
    state: Mutex<State<V, E>>,
}

struct State<V, E> {
    led: bool,
    outcome: Option<Outcome<V, E>>,
    /// The lease of a leader that is gone, for the one who takes over.
    lease: Option<Granting>,
    next_waiter: u64,
    waiters: BTreeMap<u64, Waker>,
}

/// What somebody who asks for a key is to do.
pub(crate) enum Role<V, E> {
    Lead(Leader<V, E>),
    Wait(Waiter<V, E>),
}

impl<V, E> Flights<V, E> {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::new(Table::default())),
            hasher: RandomState::new(),
            ended: AtomicU64::new(0),
        }
    }

    /// How many loads have ended so far. Who finds a key neither in memory nor in flight, and this changed
    /// since before the look at memory, may have looked at both at the wrong moments.
    #[inline]
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    /// Joins the flight of a key if what comes of it will do, as `joins` says; else begins one.
    pub(crate) fn enter(
        self: &Arc<Self>,
        key: &str,
        cells: impl FnOnce() -> Box<[Arc<TagCell>]>,
        joins: impl FnOnce(&Flight<V, E>) -> bool,
    ) -> Role<V, E> {
        let mut table = self.table(key);
        if let Some(flight) = table.get(key)
            && joins(flight)
        {
            return flight.enter(self, key);
        }
        let key: Arc<str> = key.into();
        let flight = Flight::new(cells());
        table.insert(key.clone(), flight.clone());
        Role::Lead(Leader {
            flights: Some(self.clone()),
            key,
            flight,
            ended: false,
        })
    }

    /// Leads the flight of a key unless somebody does.
    pub(crate) fn lead(
        self: &Arc<Self>,
        key: &str,
        cells: impl FnOnce() -> Box<[Arc<TagCell>]>,
    ) -> Option<Leader<V, E>> {
        let busy = |flight: &Flight<V, E>| flight.state().led;
        match self.enter(key, cells, busy) {
            Role::Lead(leader) => Some(leader),
            Role::Wait(_) => None,
        }
    }

    /// Whoever asks for this key from now on does not join who loads it now.
    pub(crate) fn remove(&self, key: &str) {
        if let Some(flight) = self.table(key).remove(key) {
            flight.close();
        }
    }

    /// The same for the keys that begin so.
    pub(crate) fn remove_prefix(&self, prefix: &str) {
        for table in &self.shards {
            let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
            let removed = table.extract_if(|key, _| key.starts_with(prefix));
            removed.for_each(|(_, flight)| flight.close());
        }
    }

    /// How many loads are in flight.
    pub(crate) fn len(&self) -> usize {
        let len = |table: &Mutex<Table<V, E>>| {
            let table = table.lock().unwrap_or_else(PoisonError::into_inner);
            table.len()
        };
        self.shards.iter().map(len).sum()
    }

    /// Takes a flight out, unless another has taken its place.
    fn end(&self, key: &str, flight: &Arc<Flight<V, E>>) {
        let mut table = self.table(key);
        // Under the lock: who finds the place empty finds this changed.
        self.ended.fetch_add(1, Ordering::AcqRel);
        if table
            .get(key)
            .is_some_and(|other| Arc::ptr_eq(other, flight))
        {
            table.remove(key);
        }
    }

    /// The last who waited has gone, and nobody leads: the lease that was kept is for nobody.
    fn end_orphan(&self, key: &str, flight: &Arc<Flight<V, E>>) -> Option<Lease> {
        let mut table = self.table(key);
        // Somebody may have come meanwhile: the table is locked, so now nobody does.
        let mut state = flight.state();
        if state.led || !state.waiters.is_empty() {
            return None;
        }
        let lease = state.lease.take();
        drop(state);
        let is_this = |other: &Arc<Flight<V, E>>| Arc::ptr_eq(other, flight);
        if table.get(key).is_some_and(is_this) {
            table.remove(key);
        }
        lease.map(|granting| granting.lease)
    }

    fn table(&self, key: &str) -> MutexGuard<'_, Table<V, E>> {
        let shard = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64);
        // Nothing that can panic happens between two changes of a table.
        self.shards[shard.unwrap_or_default()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V, E> Flight<V, E> {
    fn new(cells: Box<[Arc<TagCell>]>) -> Arc<Self> {
        Arc::new(Self {
            began: AtomicU64::new(0),
            began_at: AtomicU64::new(0),
            cells,
            closed: AtomicBool::new(false),
            state: Mutex::new(State {
                led: true,
                outcome: None,
                lease: None,
                next_waiter: 0,
                waiters: BTreeMap::new(),
            }),
        })
    }

    /// What it has seen at least, and since when; `None` while that is not known yet, which is before
    /// anything was asked: then it will see what anybody knows who asks now.
    pub(crate) fn began(&self) -> Option<(Stamp, Monotonic)> {
        let stamp = self.began.load(Ordering::Acquire);
        let at = Duration::from_nanos(self.began_at.load(Ordering::Acquire));
        (stamp > 0).then(|| (Stamp::from_bits(stamp), Monotonic::from_start(at)))
    }

    /// Whether a tag that it may carry was raised after `stamp`.
    pub(crate) fn is_raised_since(&self, stamp: Stamp) -> bool {
        self.cells.iter().any(|cell| cell.raised() > stamp)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn enter(self: &Arc<Self>, flights: &Arc<Flights<V, E>>, key: &str) -> Role<V, E> {
        let mut state = self.state();
        if state.led || state.outcome.is_some() {
            let id = state.next_waiter;
            state.next_waiter += 1;
            state.waiters.insert(id, Waker::noop().clone());
            return Role::Wait(Waiter {
                flights: flights.clone(),
                key: key.into(),
                flight: self.clone(),
                id,
            });
        }
        state.led = true;
        Role::Lead(Leader {
            flights: Some(flights.clone()),
            key: key.into(),
            flight: self.clone(),
            ended: false,
        })
    }

    fn state(&self) -> MutexGuard<'_, State<V, E>> {
        // Nothing that can panic happens between two changes of the state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leads a flight. Dropped without an outcome it leaves the lead to one who waits.
pub(crate) struct Leader<V, E> {
    /// `None` for a flight that nobody can join.
    flights: Option<Arc<Flights<V, E>>>,
    key: Arc<str>,
    flight: Arc<Flight<V, E>>,
    ended: bool,
}

impl<V, E> Leader<V, E> {
    /// A flight of one's own.
    pub(crate) fn of_one(key: &str) -> Self {
        Self {
            flights: None,
            key: key.into(),
            flight: Flight::new(Box::default()),
            ended: false,
        }
    }

    pub(crate) fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// A load begins, which will have seen everything up to `stamp`.
    pub(crate) fn begin(&self, stamp: Stamp, at: Monotonic) {
        let at = u64::try_from(at.since_start().as_nanos()).unwrap_or(u64::MAX);
        self.flight.began_at.store(at, Ordering::Release);
        self.flight.began.store(stamp.bits(), Ordering::Release);
    }

    /// Lets nobody join any more.
    pub(crate) fn close(&self) {
        self.flight.close();
    }

    /// Keeps a lease for whoever takes over.
    pub(crate) fn keep_lease(&self, lease: Option<Granting>) {
        self.flight.state().lease = lease;
    }

    /// The lease that is kept lasts until then.
    pub(crate) fn extend_lease(&self, until: Monotonic) {
        if let Some(granting) = &mut self.flight.state().lease {
            granting.until = until;
        }
    }

    /// The lease that is kept.
    pub(crate) fn take_lease(&self) -> Option<Granting> {
        self.flight.state().lease.take()
    }

    /// Tells everybody who waits.
    pub(crate) fn end(mut self, outcome: Outcome<V, E>) {
        self.ended = true;
        if let Some(flights) = &self.flights {
            flights.end(&self.key, &self.flight);
        }
        let waiters = {
            let mut state = self.flight.state();
            state.led = false;
            state.outcome = Some(outcome);
            std::mem::take(&mut state.waiters)
        };
        waiters.into_values().for_each(Waker::wake);
    }

    /// Leaves without an outcome: gives the lease back if nobody takes over.
    pub(crate) fn leave(&mut self) -> Option<Lease> {
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        // The table first: nobody may join between the look at the waiters and the end.
        let mut table = self
            .flights
            .as_ref()
            .map(|flights| flights.table(&self.key));
        let mut state = self.flight.state();
        state.led = false;
        if state.waiters.is_empty() {
            let lease = state.lease.take();
            drop(state);
            if let Some(table) = &mut table
                && let Some(other) = table.get(&*self.key)
                && Arc::ptr_eq(other, &self.flight)
            {
                table.remove(&*self.key);
            }
            return lease.map(|granting| granting.lease);
        }
        // All are woken: the one that would be may be dropped before it looks.
        let waiters: Vec<Waker> = state
            .waiters
            .values_mut()
            .map(|waker| std::mem::replace(waker, Waker::noop().clone()))
            .collect();
        drop(state);
        drop(table);
        waiters.into_iter().for_each(Waker::wake);
        None
    }
}

impl<V, E> Drop for Leader<V, E> {
    fn drop(&mut self) {
        // A lease that is left over here expires by itself.
        let _ = self.leave();
    }
}

/// Waits for the outcome of a flight, or for its lead.
pub(crate) struct Waiter<V, E> {
    flights: Arc<Flights<V, E>>,
    key: Arc<str>,
    flight: Arc<Flight<V, E>>,
    id: u64,
}

/// What waiting has come to.
pub(crate) enum Waited<V, E> {
    Outcome(Outcome<V, E>),
    Lead(Leader<V, E>),
}

impl<V, E: Clone> Future for Waiter<V, E> {
    type Output = Waited<V, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Waited<V, E>> {
        let mut state = self.flight.state();
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(Waited::Outcome(outcome.clone()));
        }
        if !state.led {
            state.led = true;
            return Poll::Ready(Waited::Lead(Leader {
                flights: Some(self.flights.clone()),
                key: self.key.clone(),
                flight: self.flight.clone(),
                ended: false,
            }));
        }
        let old = state.waiters.insert(self.id, context.waker().clone());
        // Dropped outside the lock: the last waker of a task may drop the task, and a waiter with it.
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl<V, E> Waiter<V, E> {
    pub(crate) fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// Waits no longer: gives the lease back that a leader has left, if nobody is there to take over.
    pub(crate) fn leave(&mut self) -> Option<Lease> {
        let (old, orphaned) = {
            let mut state = self.flight.state();
            let old = state.waiters.remove(&self.id);
            let orphaned = !state.led && state.outcome.is_none() && state.waiters.is_empty();
            (old, orphaned)
        };
        // Dropped outside the lock: the last waker of a task may drop the task, and a waiter with it.
        drop(old);
        orphaned
            .then(|| self.flights.end_orphan(&self.key, &self.flight))
            .flatten()
    }
}

impl<V, E> Drop for Waiter<V, E> {
    fn drop(&mut self) {
        // A lease that is left over here expires by itself.
        let _ = self.leave();
    }
}

impl<V, E> fmt::Debug for Flights<V, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Flights")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
