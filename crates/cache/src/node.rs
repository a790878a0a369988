//! What a node knows of the shared tier: which era it is in, how far it has heard, until when it may
//! trust its own memory.
//!
//! A node is *attached* while it hears every announcement of the shared tier and proves so again and
//! again. Its memory then lags by the delivery of an announcement, and by [`NodeConfig::silence`] at
//! most from the moment it is cut off: after that, an entry in memory is only good for as long as it
//! can have been wrong for no longer than that.
//!
//! [`follow`](crate::follow()) keeps a node attached.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use pitchey_runtime::Monotonic;

use crate::entry::Entry;
use crate::guard::Guards;
use crate::shared::{Announced, Announcement, Strength};
use crate::stamp::{AsOf, Epoch, Position, Seq, Stamp};
use crate::tag::TagTable;

/// How a node behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// How long what is in memory is trusted after the last proof that nothing was missed, and how long
    /// what was loaded without the shared tier may be used.
    pub silence: Duration,
    /// The switches of the guards; all on, but in a simulation.
    pub guards: Guards,
}

impl Default for NodeConfig {
    /// One second.
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(1),
            guards: Guards::default(),
        }
    }
}

/// An announcement was missed, or is of another epoch: attach again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an announcement was missed")]
pub struct Gap;

/// Where keys are kept that a removal must reach.
pub(crate) trait Keeps: Send + Sync {
    /// Forgets a key, and fills it from no load that is in flight.
    fn drop_key(&self, key: &str);
    /// The same for all keys that begin so.
    fn drop_prefix(&self, prefix: &str);
}

/// What one process knows of the shared tier.
pub struct Node {
    config: NodeConfig,
    alone: bool,
    pub(crate) tags: TagTable,
    state: RwLock<State>,
    /// The era of `state`, for the path that takes no lock.
    era: AtomicU64,
    /// Until when memory is trusted, in nanoseconds of the clock.
    trusted_until: AtomicU64,
    /// What is stamped lower is not trusted: the node was told of an invalidation that it has not applied
    /// yet. Nought if it has applied all that it was told of.
    told: AtomicU64,
    /// An invalidation was not acknowledged since the node was attached.
    distrusted: AtomicBool,
    /// The same since catching up began.
    failed: AtomicBool,
    removals: AtomicU64,
    caches: Mutex<Vec<Weak<dyn Keeps>>>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    attached: bool,
    era: u64,
    epoch: Epoch,
    /// Every announcement up to this one was applied here.
    applied: Seq,
    /// The newest number that was seen anywhere: a load that begins now sees all up to it.
    issued: Seq,
    /// The newest invalidation that somebody else told of.
    told: AsOf,
    position: Position,
}

/// What a load that begins now will have seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begin {
    pub(crate) stamp: Stamp,
    pub(crate) position: Position,
    /// Whether the shared tier is to be asked.
    pub(crate) attached: bool,
}

/// What a node can tell of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Whether it hears what the shared tier announces.
    pub attached: bool,
    /// Whether there is a shared tier at all.
    pub alone: bool,
    /// The epoch of the shared tier, or of nothing.
    pub epoch: Epoch,
    /// Every announcement up to this one was heard.
    pub applied: Seq,
    /// How often it had to begin anew.
    pub era: u64,
    /// How much longer memory is trusted.
    pub trusted_for: Duration,
}

impl Node {
    /// A node that is not attached yet.
    pub fn new(config: NodeConfig) -> Self {
        Self {
            config,
            alone: false,
            tags: TagTable::new(),
            state: RwLock::new(State {
                attached: false,
                era: 1,
                epoch: Epoch::default(),
                applied: Seq::default(),
                issued: Seq::default(),
                told: AsOf::default(),
                position: Position::default(),
            }),
            era: AtomicU64::new(1),
            trusted_until: AtomicU64::new(0),
            told: AtomicU64::new(0),
            distrusted: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            removals: AtomicU64::new(0),
            caches: Mutex::default(),
        }
    }

    /// A node without a shared tier: its own invalidations are all there are.
    pub fn alone(config: NodeConfig) -> Self {
        let node = Self {
            alone: true,
            ..Self::new(config)
        };
        node.trusted_until.store(u64::MAX, Ordering::Release);
        node
    }

    /// Begins to trust what the shared tier says: everything announced after `heard` will be applied, and
    /// `at` is a moment at which `heard` was its newest number.
    ///
    /// Before this is called, invalidations that could not be delivered while nothing was heard must have
    /// been: entries in the shared tier may be older than changes that this node knows of.
    ///
    /// `false`, and nothing is trusted, if an invalidation failed since
    /// [`begin_catching_up`](Self::begin_catching_up).
    pub fn attach(&self, heard: AsOf, position: Position, at: Monotonic) -> bool {
        let mut state = self.write();
        if self.failed.load(Ordering::Acquire) {
            return false;
        }
        self.next_era(&mut state);
        state.attached = true;
        state.epoch = heard.epoch;
        state.applied = heard.seq;
        state.issued = heard.seq;
        state.position = state.position.max(position);
        if state.told.epoch == heard.epoch {
            state.issued = state.issued.max(state.told.seq);
        }
        self.note_told(&state);
        self.distrusted.store(false, Ordering::Release);
        self.trust(at);
        true
    }

    /// From now on it is delivered what could not be before. What fails from now on is not part of it.
    pub fn begin_catching_up(&self) {
        self.failed.store(false, Ordering::Release);
    }

    /// The newest announcement that was applied.
    pub fn applied(&self) -> Seq {
        self.read().applied
    }

    /// Applies what was announced. Announcements come in the order of their numbers; what was applied
    /// before is passed over.
    pub fn apply(&self, announcement: &Announcement) -> Result<(), Gap> {
        let era = {
            let state = self.read();
            if announcement.seq <= state.applied && announcement.epoch == state.epoch {
                return Ok(());
            }
            let next = state.applied.next();
            let is_next = announcement.epoch == state.epoch
                && (announcement.seq == next || !self.config.guards.gap());
            if !state.attached || !is_next {
                return Err(Gap);
            }
            state.era
        };
        match &announcement.event {
            Announced::Tags(tags, strength) => {
                let stamp = Stamp::new(era, announcement.seq);
                for tag in tags {
                    self.tags.raise(tag, *strength, stamp);
                }
            }
            Announced::Keys(keys) => keys.iter().for_each(|key| self.drop_key(key)),
            Announced::Prefix(prefix) => self.drop_prefix(prefix),
        }
        // After the cells: who reads the number finds them raised.
        let mut state = self.write();
        if state.era == era {
            state.applied = state.applied.max(announcement.seq);
            state.issued = state.issued.max(announcement.seq);
            state.position = state.position.max(announcement.position);
            self.note_told(&state);
        }
        Ok(())
    }

    /// The newest invalidation that is known here, for those who are asked to answer nothing older; `None`
    /// while the node hears nothing.
    pub fn known(&self, now: Monotonic) -> Option<AsOf> {
        let state = *self.read();
        self.asks_shared(&state, now).then_some(AsOf {
            epoch: state.epoch,
            seq: state.issued,
        })
    }

    /// What was heard, for a load from a copy of the source: the newest announcement that was applied, and how
    /// far a copy must have come that shows all of them. `None` while the node hears nothing, or knows of an
    /// invalidation whose announcement it has not heard: then it cannot tell how far.
    pub fn heard(&self, now: Monotonic) -> Option<(AsOf, Position)> {
        let state = *self.read();
        let heard_all = self.asks_shared(&state, now) && state.issued <= state.applied;
        let as_of = AsOf {
            epoch: state.epoch,
            seq: state.applied,
        };
        heard_all.then_some((as_of, state.position))
    }

    /// Somebody knows of an invalidation: until it has been applied here, nothing older is served from
    /// memory. `false` if this node cannot tell what is older: it hears nothing, or of other numbers.
    pub fn heard_of(&self, as_of: AsOf) -> bool {
        let is_known = |state: &State| state.attached && state.epoch == as_of.epoch;
        {
            let state = self.read();
            if !is_known(&state) {
                return false;
            }
            if as_of.seq <= state.applied {
                return true;
            }
        }
        let mut state = self.write();
        if !is_known(&state) {
            return false;
        }
        state.issued = state.issued.max(as_of.seq);
        if state.told.epoch != as_of.epoch || state.told.seq < as_of.seq {
            state.told = as_of;
        }
        self.note_told(&state);
        true
    }

    /// Whether everything up to this moment has been applied here.
    pub fn has_applied(&self, as_of: AsOf) -> bool {
        let state = self.read();
        state.attached && state.epoch == as_of.epoch && as_of.seq <= state.applied
    }

    /// What an entry of this node has seen, in the numbers of the shared tier; `None` if it was made while
    /// the node did not hear them.
    pub fn as_of<V>(&self, entry: &Entry<V>) -> Option<AsOf> {
        let state = self.read();
        let is_numbered = state.attached && state.era == entry.stamp.era();
        is_numbered.then(|| AsOf {
            epoch: state.epoch,
            seq: entry.stamp.seq(),
        })
    }

    /// Something changed of which nobody can say what: nothing that is in memory is trusted any more, and
    /// the node is attached anew.
    pub fn distrust(&self) {
        if !self.alone {
            let mut state = self.write();
            self.next_era(&mut state);
            state.attached = false;
        }
    }

    /// The stamp of something that another node's cache has given, whose numbers are those that this node
    /// heard when it asked at `begin`.
    pub(crate) fn stamp_from(&self, as_of: AsOf, begin: Begin) -> Option<Stamp> {
        let mut state = self.write();
        let known = state.attached && state.epoch == as_of.epoch && state.era == begin.stamp.era();
        known.then(|| {
            state.issued = state.issued.max(as_of.seq);
            Stamp::new(state.era, as_of.seq)
        })
    }

    fn note_told(&self, state: &State) {
        let told = state.told;
        let lags = told.epoch == state.epoch && told.seq > state.applied;
        let least = if lags {
            Stamp::new(state.era, told.seq).bits()
        } else {
            0
        };
        self.told.store(least, Ordering::Release);
    }

    /// At the moment `at`, `newest` was the newest number of the shared tier. If everything up to it was
    /// applied, memory is trusted anew; gives whether it is.
    ///
    /// A proof that comes after the trust has run out is none: while the shared tier was away, others may
    /// have left invalidations to be delivered. Then attach again.
    pub fn prove(&self, newest: AsOf, at: Monotonic) -> Result<bool, Gap> {
        let state = self.read();
        if !state.attached || state.epoch != newest.epoch || !self.asks_shared(&state, at) {
            return Err(Gap);
        }
        let caught_up = state.applied >= newest.seq;
        if caught_up {
            self.trust(at);
        }
        Ok(caught_up)
    }

    /// The shared tier cannot be heard or asked. What is in memory stays usable for as long as it is
    /// trusted.
    pub fn detach(&self) {
        if !self.alone {
            let mut state = self.write();
            if state.attached {
                state.attached = false;
            }
        }
    }

    /// Whether an invalidation of this node's own is not known to have arrived: it must be delivered
    /// before the shared tier is trusted again.
    pub fn is_distrusted(&self) -> bool {
        self.distrusted.load(Ordering::Acquire)
    }

    /// Whether there is no shared tier.
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    pub(crate) fn register(&self, cache: Weak<dyn Keeps>) {
        let mut caches = self.caches();
        caches.retain(|cache| cache.strong_count() > 0);
        caches.push(cache);
    }

    /// How often keys were removed.
    pub(crate) fn removals(&self) -> u64 {
        self.removals.load(Ordering::Acquire)
    }

    pub(crate) fn drop_key(&self, key: &str) {
        self.removals.fetch_add(1, Ordering::AcqRel);
        for cache in self.caches().iter().filter_map(Weak::upgrade) {
            cache.drop_key(key);
        }
    }

    pub(crate) fn drop_prefix(&self, prefix: &str) {
        self.removals.fetch_add(1, Ordering::AcqRel);
        for cache in self.caches().iter().filter_map(Weak::upgrade) {
            cache.drop_prefix(prefix);
        }
    }

    fn caches(&self) -> MutexGuard<'_, Vec<Weak<dyn Keeps>>> {
        // Nothing that can panic happens between two changes of the list.
        self.caches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn guards(&self) -> Guards {
        self.config.guards
    }

    /// What the node can tell of itself.
    pub fn status(&self, now: Monotonic) -> NodeStatus {
        let state = *self.read();
        let until = Duration::from_nanos(self.trusted_until.load(Ordering::Acquire));
        NodeStatus {
            attached: self.asks_shared(&state, now),
            alone: self.alone,
            epoch: state.epoch,
            applied: state.applied,
            era: state.era,
            trusted_for: Monotonic::from_start(until).since(now),
        }
    }

    /// How a load that begins now is stamped.
    pub(crate) fn begin(&self, now: Monotonic) -> Begin {
        let state = self.read();
        Begin {
            stamp: Stamp::new(state.era, state.issued),
            position: state.position,
            attached: self.asks_shared(&state, now),
        }
    }

    /// Whether what the shared tier says is believed.
    fn asks_shared(&self, state: &State, now: Monotonic) -> bool {
        let until = self.trusted_until.load(Ordering::Acquire);
        let in_time = now.since_start() <= Duration::from_nanos(until);
        state.attached && !self.is_distrusted() && (in_time || !self.config.guards.silence())
    }

    /// The stamp of something that the shared tier numbered and that was asked for after `begin`, if the
    /// node has not begun anew since: then it may have missed what was announced in between.
    ///
    /// The number is taken note of: whatever this node numbers by itself later is greater.
    pub(crate) fn stamp_of(&self, as_of: AsOf, begin: Begin) -> Option<Stamp> {
        let known = |state: &State| {
            state.attached && state.epoch == as_of.epoch && state.era == begin.stamp.era()
        };
        let state = *self.read();
        if known(&state) && as_of.seq <= state.issued {
            return Some(Stamp::new(state.era, as_of.seq).max(begin.stamp));
        }
        let mut state = self.write();
        known(&state).then(|| {
            state.issued = state.issued.max(as_of.seq);
            Stamp::new(state.era, as_of.seq).max(begin.stamp)
        })
    }

    /// The newest number that is known by now: what a stamp taken too late would say.
    pub(crate) fn newest(&self, as_of: AsOf) -> AsOf {
        let state = self.read();
        let seq = if state.epoch == as_of.epoch {
            state.issued.max(as_of.seq)
        } else {
            as_of.seq
        };
        AsOf { seq, ..as_of }
    }

    /// What is loaded from now on must have come this far.
    pub(crate) fn advance(&self, position: Position) {
        let mut state = self.write();
        state.position = state.position.max(position);
    }

    /// An invalidation of this node's own was acknowledged: it holds here from now on.
    pub(crate) fn acknowledged(
        &self,
        tags: &[Box<str>],
        strength: Strength,
        as_of: AsOf,
        position: Position,
    ) {
        let mut state = self.write();
        let number = if state.attached && state.epoch == as_of.epoch {
            as_of.seq
        } else {
            // While it is cut off, the node counts by itself: later than all that was begun here.
            state.issued.next()
        };
        state.position = state.position.max(position);
        self.raise(&state, tags, strength, number);
        state.issued = state.issued.max(number);
    }

    /// An invalidation of this node's own: without a shared tier it is all that is needed; with one it was
    /// not acknowledged, and nothing that is there is trusted until it has been delivered.
    pub(crate) fn unacknowledged(&self, tags: &[Box<str>], strength: Strength, position: Position) {
        let mut state = self.write();
        if !self.alone && strength == Strength::Hard && self.config.guards.distrust() {
            self.failed.store(true, Ordering::Release);
            self.distrusted.store(true, Ordering::Release);
            state.attached = false;
        }
        state.position = state.position.max(position);
        let number = state.issued.next();
        self.raise(&state, tags, strength, number);
        if !state.attached {
            // Now it counts by itself, and what begins from here on has seen it.
            state.issued = number;
        }
    }

    fn raise(&self, state: &State, tags: &[Box<str>], strength: Strength, number: Seq) {
        let stamp = Stamp::new(state.era, number);
        for tag in tags {
            self.tags.raise(tag, strength, stamp);
        }
    }

    /// Whether something stamped so, whose load began at `began`, may still be trusted without asking.
    #[inline]
    pub(crate) fn trusts(&self, stamp: Stamp, began: Monotonic, now: Monotonic) -> bool {
        if stamp.era() != self.era.load(Ordering::Acquire) || stamp.era() == Stamp::LAST_ERA {
            return false;
        }
        if stamp.bits() < self.told.load(Ordering::Acquire) {
            return false;
        }
        if !self.config.guards.silence() {
            return true;
        }
        let now = now.since_start();
        now <= Duration::from_nanos(self.trusted_until.load(Ordering::Acquire))
            || now <= (began + self.config.silence).since_start()
    }

    fn trust(&self, at: Monotonic) {
        let until = (at + self.config.silence).since_start().as_nanos();
        let until = u64::try_from(until).unwrap_or(u64::MAX);
        self.trusted_until.fetch_max(until, Ordering::AcqRel);
    }

    fn next_era(&self, state: &mut State) {
        state.era = (state.era + 1).min(Stamp::LAST_ERA);
        state.issued = Seq::default();
        self.era.store(state.era, Ordering::Release);
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // Nothing that can panic happens between two changes of the state.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Node")
            .field("alone", &self.alone)
            .field("state", &*self.read())
            .finish_non_exhaustive()
    }
}
