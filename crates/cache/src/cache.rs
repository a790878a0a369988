//! The cache: memory, then the shared tier, then the source.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pitchey_runtime::Monotonic;

use crate::answer::{Answer, From, GetError, State};
use crate::backplane::{Backplane, World};
use crate::entry::{Entry, Source, Value, Verdict};
use crate::flight::{Flights, Leader, Outcome};
use crate::guard::Guard;
use crate::lead::{Lead, Purpose};
use crate::memory::Memory;
use crate::node::Keeps;
use crate::policy::{Policy, Unverified, refreshes_early};
use crate::shared::{Shared, Wish};
use crate::stats::{Counter, KindSnapshot, KindStats};
use crate::tag::{TagCell, family};

/// A kind of data in a cache: the place of its policy among those that the cache was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind(pub usize);

/// A cache of values of one type, in several kinds. Cheap to clone.
pub struct Cache<V, E, M, S, R> {
    pub(crate) inner: Arc<Inner<V, E, M, S, R>>,
}

pub(crate) struct Inner<V, E, M, S, R> {
    pub(crate) backplane: Backplane<S, R>,
    pub(crate) memory: M,
    pub(crate) flights: Arc<Flights<V, E>>,
    pub(crate) kinds: Box<[KindState]>,
}

pub(crate) struct KindState {
    name: &'static str,
    pub(crate) policy: Policy,
    pub(crate) stats: KindStats,
}

/// How many tags an entry may carry; more make it invalid far too often to be worth keeping.
pub const MAX_TAGS: usize = 256;

/// The longest key, in bytes. Longer ones are loaded and not kept.
pub const MAX_KEY: usize = 1024;

impl<V, E, M, S, R> Clone for Cache<V, E, M, S, R> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<V, E, M, S, R> fmt::Debug for Cache<V, E, M, S, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Cache")
            .field("flights", &self.inner.flights)
            .finish_non_exhaustive()
    }
}

/// What looking into memory has found.
pub(crate) enum Seen<V> {
    /// It is served; perhaps somebody is to refresh it.
    Hit(Answer<V>, Option<Wish>),
    /// Nothing that may be served without asking. What is there may do in an error's place.
    Miss(Option<Arc<Entry<V>>>),
}

impl<V, E, M, S, R> Cache<V, E, M, S, R>
where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
{
    /// An empty cache of kinds with these names and policies. Keys of different kinds, and of different
    /// caches on one backplane, must differ: begin them with the name of their kind.
    pub fn new(backplane: Backplane<S, R>, memory: M, kinds: Vec<(&'static str, Policy)>) -> Self {
        let kinds = kinds.into_iter().map(|(name, policy)| KindState {
            name,
            policy,
            stats: KindStats::default(),
        });
        let inner = Arc::new(Inner {
            backplane,
            memory,
            flights: Arc::new(Flights::new()),
            kinds: kinds.collect(),
        });
        let keeps: Arc<dyn Keeps> = inner.clone();
        inner.backplane.node().register(Arc::downgrade(&keeps));
        Self { inner }
    }

    /// The value of a key, from the nearest tier that may give it, else from its source.
    ///
    /// One load at a time for each key in this process, and on all nodes while the shared tier answers.
    /// Dropping the future hands a load on to one who waits for it.
    pub async fn get(&self, kind: Kind, key: &str, source: impl Source<V, E>) -> Outcome<V, E> {
        let seen = |now| self.inner.look(kind, now, self.inner.memory.get(key));
        self.settle(kind, key, source, seen).await
    }

    /// The same for one who has asked for a [`hit`](Self::hit) in vain: both together are one use.
    pub async fn get_missed(
        &self,
        kind: Kind,
        key: &str,
        source: impl Source<V, E>,
    ) -> Outcome<V, E> {
        let seen = |now| self.inner.look(kind, now, self.inner.memory.peek(key));
        self.settle(kind, key, source, seen).await
    }

    async fn settle(
        &self,
        kind: Kind,
        key: &str,
        source: impl Source<V, E>,
        look: impl FnOnce(Monotonic) -> Seen<V>,
    ) -> Outcome<V, E> {
        let now = self.inner.backplane.runtime().now();
        let ended = self.inner.flights.ended();
        match look(now) {
            Seen::Hit(answer, None) => {
                self.inner.count_hit(kind, &answer);
                Ok(answer)
            }
            Seen::Hit(answer, Some(wish)) => {
                self.inner.count_hit(kind, &answer);
                let source = Arc::new(source);
                self.inner
                    .refresh_behind(kind, key, &source, wish, &answer.entry);
                Ok(answer)
            }
            // In a box, so that a hit does not carry the room for it about.
            Seen::Miss(candidate) => {
                Box::pin(self.miss(kind, key, source, (candidate, ended))).await
            }
        }
    }

    /// The fresh value in memory, if it is there and nothing need be done about it: what [`get`](Self::get)
    /// would give, without a source and without a future.
    pub fn hit(&self, kind: Kind, key: &str) -> Option<Answer<V>> {
        let inner = &*self.inner;
        let now = inner.backplane.runtime().now();
        let KindState { policy, stats, .. } = inner.kind(kind);
        let entry = inner.memory.get(key)?;
        let checks = inner.backplane.node().guards().has(Guard::MemoryChecksTags);
        let hit = !policy.strict
            && now < entry.early_from
            && entry.judge(now, checks) == Verdict::Fresh
            && inner.trusts(&entry, now);
        if !hit {
            return None;
        }
        stats.count(Counter::MemoryHit);
        if entry.absent {
            stats.count(Counter::Negative);
        }
        Some(Answer::new(entry, From::Memory, State::Fresh))
    }

    /// Looks a key up without asking anything but memory, and without counting: for tools.
    pub fn peek(&self, key: &str) -> Option<Arc<Entry<V>>> {
        self.inner.memory.get(key)
    }

    /// What happened so far, kind by kind.
    pub fn stats(&self) -> Vec<(&'static str, KindSnapshot)> {
        let kinds = self.inner.kinds.iter();
        kinds
            .map(|kind| (kind.name, kind.stats.snapshot()))
            .collect()
    }

    /// The policies, kind by kind.
    pub fn policies(&self) -> impl Iterator<Item = (&'static str, &Policy)> {
        self.inner
            .kinds
            .iter()
            .map(|kind| (kind.name, &kind.policy))
    }

    /// Entries in memory and their bytes, about.
    pub fn size(&self) -> (u64, u64) {
        self.inner.memory.size()
    }

    /// Loads in flight.
    pub fn in_flight(&self) -> usize {
        self.inner.flights.len()
    }

    /// What it stands on.
    pub fn backplane(&self) -> &Backplane<S, R> {
        &self.inner.backplane
    }
}

impl<V, E, M, S, R> Inner<V, E, M, S, R> {
    pub(crate) fn kind(&self, kind: Kind) -> &KindState {
        &self.kinds[kind.0]
    }
}

impl<V, E, M, S, R> Inner<V, E, M, S, R>
where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
{
    #[inline]
    pub(crate) fn trusts(&self, entry: &Entry<V>, now: Monotonic) -> bool {
        let node = self.backplane.node();
        node.trusts(entry.stamp, entry.began, now)
    }

    #[inline]
    pub(crate) fn count_hit(&self, kind: Kind, answer: &Answer<V>) {
        let stats = &self.kind(kind).stats;
        stats.count(match answer.state {
            State::Fresh => Counter::MemoryHit,
            _ => Counter::MemoryStale,
        });
        if answer.entry.absent {
            stats.count(Counter::Negative);
        }
    }

    /// Judges what memory has. What is served is counted by those who serve it.
    #[inline]
    pub(crate) fn look(&self, kind: Kind, now: Monotonic, entry: Option<Arc<Entry<V>>>) -> Seen<V> {
        let KindState { policy, stats, .. } = self.kind(kind);
        let Some(entry) = entry else {
            return Seen::Miss(None);
        };
        let checks = self.backplane.node().guards().has(Guard::MemoryChecksTags);
        let verdict = entry.judge(now, checks);
        if verdict == Verdict::Invalid {
            stats.count(Counter::Invalid);
            return Seen::Miss(None);
        }
        if policy.strict || !self.trusts(&entry, now) {
            return Seen::Miss(Some(entry));
        }
        match verdict {
            Verdict::Fresh => {
                let refresh = now >= entry.early_from && self.claims_early(policy, &entry, now);
                let wish = refresh.then_some(Wish::Always);
                Seen::Hit(Answer::new(entry, From::Memory, State::Fresh), wish)
            }
            Verdict::Stale => {
                let wish = entry.claim_refresh().then_some(Wish::IfStale);
                Seen::Hit(Answer::new(entry, From::Memory, State::Stale), wish)
            }
            Verdict::Elapsed | Verdict::Expired | Verdict::Invalid => Seen::Miss(Some(entry)),
        }
    }

    fn claims_early(&self, policy: &Policy, entry: &Entry<V>, now: Monotonic) -> bool {
        let left = entry.fresh_for(now);
        let bits = self.backplane.runtime().next_u64();
        policy.early_refresh > 0.0
            && refreshes_early(left, entry.cost, policy.early_refresh, bits)
            && entry.claim_refresh()
    }

    /// The cells of known tags, and of the families of those that are not known yet.
    pub(crate) fn cells(&self, known: &[Box<str>], discovers: &[&str]) -> Box<[Arc<TagCell>]> {
        let tags = &self.backplane.node().tags;
        let known = known.iter().map(|tag| tags.cell(tag));
        let families = discovers.iter().map(|kind| tags.cell(&family(kind)));
        known.chain(families).collect()
    }

    /// The lead of a key, unless somebody has it.
    pub(crate) fn lead(
        &self,
        kind: Kind,
        key: &str,
        source: &impl Source<V, E>,
    ) -> Option<Leader<V, E>> {
        if !self.kind(kind).policy.coalesces {
            return Some(Leader::of_one(key));
        }
        let cells = || self.cells(&source.tags(), source.discovers());
        self.flights.lead(key, cells)
    }

    pub(crate) fn refresh_behind<Src: Source<V, E>>(
        self: &Arc<Self>,
        kind: Kind,
        key: &str,
        source: &Arc<Src>,
        wish: Wish,
        entry: &Arc<Entry<V>>,
    ) {
        let Some(leader) = self.lead(kind, key, &**source) else {
            entry.unclaim_refresh();
            return;
        };
        let purpose = if wish == Wish::Always {
            Purpose::EarlyRefresh
        } else {
            Purpose::Refresh
        };
        self.lead_behind(kind, source.clone(), leader, purpose, wish, entry.clone());
    }

    /// Not an `async fn`: what is spawned contains what spawns it.
    pub(crate) fn lead_behind<Src: Source<V, E>>(
        self: &Arc<Self>,
        kind: Kind,
        source: Arc<Src>,
        leader: Leader<V, E>,
        purpose: Purpose,
        wish: Wish,
        entry: Arc<Entry<V>>,
    ) {
        let lead = Lead::new(
            self,
            kind,
            source,
            leader,
            purpose,
            wish,
            Some(entry.clone()),
        );
        let runtime = self.backplane.runtime().clone();
        let leading: futures::future::BoxFuture<'static, Option<Outcome<V, E>>> =
            Box::pin(lead.run());
        self.spawn(async move {
            // What was given in an error's place is no refresh.
            let refreshed =
                matches!(leading.await, Some(Ok(answer)) if answer.state == State::Fresh);
            if !refreshed {
                // Whoever reads it next would only fail again.
                runtime.sleep(REFRESH_PAUSE).await;
            }
            entry.unclaim_refresh();
        });
    }

    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.backplane.runtime().spawn(work);
    }

    /// What is served when loading has failed, and counted as that.
    pub(crate) fn instead(
        &self,
        kind: Kind,
        candidate: Option<Arc<Entry<V>>>,
        error: GetError<E>,
    ) -> Outcome<V, E> {
        let outcome = self.stand_in(kind, candidate, error);
        if let Ok(answer) = &outcome {
            self.kind(kind).stats.count(match answer.state {
                State::Unverified => Counter::Unverified,
                _ => Counter::StaleOnError,
            });
        }
        outcome
    }

    /// What there is in the place of an error.
    pub(crate) fn stand_in(
        &self,
        kind: Kind,
        candidate: Option<Arc<Entry<V>>>,
        error: GetError<E>,
    ) -> Outcome<V, E> {
        let now = self.backplane.runtime().now();
        let Some(entry) = candidate.filter(|entry| entry.may_replace_error(now)) else {
            return Err(error);
        };
        let state = if self.trusts(&entry, now) {
            State::StaleOnError
        } else if self.kind(kind).policy.unverified == Unverified::LoadThenServe {
            State::Unverified
        } else {
            return Err(error);
        };
        Ok(Answer::new(entry, From::Memory, state))
    }

    /// Puts what was loaded or found into memory, unless keys were removed since there had been so many
    /// `removals`; which, does not matter enough to be told.
    pub(crate) fn keep_unless_removed(&self, key: &Arc<str>, entry: &Arc<Entry<V>>, removals: u64) {
        self.keep(key, entry);
        let node = self.backplane.node();
        // Looked at behind the keeping, so that no removal falls between the two.
        if node.guards().has(Guard::RemovalEndsLoads) && node.removals() != removals {
            self.memory.remove(key);
        }
    }

    /// Puts an entry into memory, unless a newer one is there that is of use.
    ///
    /// One whose time in memory is up is of none: the age of a copy is measured across the network, so what it
    /// was compared with may seem a little older than it is, and each reader would have to compare again.
    pub(crate) fn keep(&self, key: &Arc<str>, entry: &Arc<Entry<V>>) {
        let (born, era) = (entry.born, entry.stamp.era());
        let now = self.backplane.runtime().now();
        let is_newer = move |old: &Entry<V>| {
            old.stamp.era() == era
                && old.born > born
                && now < old.memory_until
                && !old.is_raised()
                && !old.softened
        };
        self.memory.insert(key.clone(), entry.clone(), is_newer);
    }
}

/// How long a refresh that failed is not tried again.
const REFRESH_PAUSE: Duration = Duration::from_millis(250);

impl<V, E, M, S, R> Keeps for Inner<V, E, M, S, R>
where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
{
    fn drop_key(&self, key: &str) {
        if self.backplane.node().guards().has(Guard::RemovalEndsLoads) {
            self.flights.remove(key);
        }
        self.memory.remove(key);
    }

    fn drop_prefix(&self, prefix: &str) {
        if self.backplane.node().guards().has(Guard::RemovalEndsLoads) {
            self.flights.remove_prefix(prefix);
        }
        self.memory.remove_prefix(prefix);
    }
}
