//! Many keys at once: one round trip for each tier, and one load for all that is missing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pitchey_runtime::{Monotonic, timeout};

use crate::answer::{Answer, From, GetError, State};
use crate::backplane::World;
use crate::build::{encode, fill};
use crate::cache::{Cache, Inner, Kind, KindState, MAX_KEY, MAX_TAGS, Seen};
use crate::entry::{Entry, Load, Loaded, Value, Verdict, Vintage};
use crate::lead::release_behind;
use crate::memory::Memory;
use crate::node::Begin;
use crate::shared::{Fill, Filled, Found, Granted, Held, Shared, Wish};
use crate::stamp::{Granting, Lease, Position};
use crate::stats::Counter;

/// One of many keys that are asked for at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The key, its kind included.
    pub key: Box<str>,
    /// The tags that are known before the load.
    pub tags: Vec<Box<str>>,
}

/// A key that nothing near has.
struct Missing<V> {
    at: usize,
    lease: Option<Granting>,
    /// What may do in an error's place.
    candidate: Option<Arc<Entry<V>>>,
}

impl<V, E, M, S, R> Cache<V, E, M, S, R>
where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
{
    /// The values of many keys of one kind, in their order. What is missing is loaded by one call, which
    /// is given the places of the missing keys and answers in their order.
    ///
    /// Loads of single keys that are in flight are not waited for.
    pub async fn get_many<F, L>(
        &self,
        kind: Kind,
        items: &[Item],
        load: L,
    ) -> Result<Vec<Answer<V>>, GetError<E>>
    where
        L: FnOnce(Vec<usize>, Load) -> F + Send,
        F: Future<Output = Result<Vec<Loaded<V>>, E>> + Send,
    {
        let inner = &self.inner;
        let runtime = inner.backplane.runtime();
        let asked = runtime.now();
        let node = inner.backplane.node();
        let begin = node.begin(asked);
        let removals = node.removals();
        let mut answers: Vec<Option<Answer<V>>> = Vec::with_capacity(items.len());
        let mut missing = Vec::new();
        let mut leases = Leases::new(inner);
        for (at, item) in items.iter().enumerate() {
            let seen = inner.look(kind, asked, inner.memory.get(&item.key));
            answers.push(match seen {
                Seen::Hit(answer, refresh) if answer.state == State::Fresh => {
                    if refresh.is_some() {
                        // One that is asked for alone will do it.
                        answer.entry.unclaim_refresh();
                    }
                    inner.count_hit(kind, &answer);
                    Some(answer)
                }
                Seen::Hit(answer, claimed) => {
                    if claimed.is_some() {
                        answer.entry.unclaim_refresh();
                    }
                    missing.push(Missing::new(at, Some(answer.entry)));
                    None
                }
                Seen::Miss(candidate) => {
                    missing.push(Missing::new(at, candidate));
                    None
                }
            });
        }
        let shared = begin.attached && !inner.kind(kind).policy.shared.is_zero();
        if shared && !missing.is_empty() {
            let asking = (begin, asked, removals);
            let found = inner.find_many(kind, items, missing, asking, &mut leases);
            let found = found.await;
            missing = found.missing;
            for (at, answer) in found.answers {
                answers[at] = Some(answer);
            }
        }
        if !missing.is_empty() {
            let asking = (begin, asked, removals);
            let loaded = inner.load_many(kind, items, missing, asking, &mut leases, load);
            for (at, answer) in loaded.await? {
                answers[at] = Some(answer);
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }
}

impl<V> Missing<V> {
    fn new(at: usize, candidate: Option<Arc<Entry<V>>>) -> Self {
        Self {
            at,
            lease: None,
            candidate,
        }
    }
}

/// What a load that begins now will have seen, when that is, and how often keys had been removed by then.
type Asking = (Begin, Monotonic, u64);

/// Leases, by the places of their keys. Those that are left when it is dropped are given back.
struct Leases<V, E, M, S, R>
where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
{
    inner: Arc<Inner<V, E, M, S, R>>,
    held: BTreeMap<usize, (Arc<str>, Lease)>,
}

impl<V, E, M, S, R> Leases<V, E, M, S, R>
where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
{
    fn new(inner: &Arc<Inner<V, E, M, S, R>>) -> Self {
        Self {
            inner: inner.clone(),
            held: BTreeMap::new(),
        }
    }

    fn hold(&mut self, at: usize, key: &str, lease: Lease) {
        self.held.insert(at, (key.into(), lease));
    }

    /// All that are held.
    fn held(&self) -> Vec<Held> {
        let held = self.held.values().map(|(key, lease)| Held {
            key: key.clone(),
            token: lease.token,
        });
        held.collect()
    }

    /// A fill has ended it.
    fn end(&mut self, at: usize) {
        self.held.remove(&at);
    }
}

impl<V, E, M, S, R> Drop for Leases<V, E, M, S, R>
where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
{
    fn drop(&mut self) {
        for (key, lease) in std::mem::take(&mut self.held).into_values() {
            release_behind(&self.inner, &key, lease);
        }
    }
}

/// What the shared tier had, and what it had not.
struct FoundMany<V> {
    answers: Vec<(usize, Answer<V>)>,
    missing: Vec<Missing<V>>,
}

impl<V, E, M, S, R> Inner<V, E, M, S, R>
where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
{
    async fn find_many(
        &self,
        kind: Kind,
        items: &[Item],
        missing: Vec<Missing<V>>,
        (begin, asked, removals): Asking,
        leases: &mut Leases<V, E, M, S, R>,
    ) -> FoundMany<V> {
        let KindState { policy, stats, .. } = self.kind(kind);
        let lookups: Vec<_> = missing
            .iter()
            .map(|missing| {
                let item = &items[missing.at];
                self.lookup(kind, &item.key, Wish::IfStale, item.tags.clone())
            })
            .collect();
        let looked = self.backplane.tier().lookup_many(&lookups);
        let found = self.backplane.ask(looked).await;
        stats
            .lookups
            .record(self.backplane.runtime().now().since(asked));
        let mut result = FoundMany {
            answers: Vec::new(),
            missing: Vec::new(),
        };
        let Ok(found) = found else {
            stats.count(Counter::SharedError);
            result.missing = missing;
            return result;
        };
        for (mut missing, Found { entry, lease }) in missing.into_iter().zip(found) {
            let key = &items[missing.at].key;
            if let Granted::Ours(lease) = lease {
                leases.hold(missing.at, key, lease);
                let stamp = self.backplane.node().stamp_of(lease.as_of, begin);
                missing.lease = stamp.map(|stamp| Granting {
                    lease,
                    stamp,
                    asked,
                    until: asked + policy.lease(),
                });
            }
            let entry = entry.and_then(|stored| {
                let found = self.found(kind, key, stored, (begin, asked));
                if found.is_err() {
                    stats.count(Counter::Undecodable);
                }
                found.ok()
            });
            let Some(entry) = entry.filter(|entry| !entry.is_raised()) else {
                result.missing.push(missing);
                continue;
            };
            let held = matches!(lease, Granted::Held(_));
            let now = self.backplane.runtime().now();
            let state = match entry.judge(now, true) {
                Verdict::Fresh | Verdict::Elapsed => State::Fresh,
                Verdict::Stale if held => State::Stale,
                _ => {
                    missing.candidate = Some(entry);
                    result.missing.push(missing);
                    continue;
                }
            };
            stats.count(if state == State::Fresh {
                Counter::SharedHit
            } else {
                Counter::SharedStale
            });
            if entry.absent {
                stats.count(Counter::Negative);
            }
            self.keep_unless_removed(&Arc::from(&**key), &entry, removals);
            let answer = Answer::new(entry, From::Shared, state);
            result.answers.push((missing.at, answer));
        }
        result
    }

    async fn load_many<F, L>(
        &self,
        kind: Kind,
        items: &[Item],
        missing: Vec<Missing<V>>,
        (begin, asked, removals): Asking,
        leases: &mut Leases<V, E, M, S, R>,
        load: L,
    ) -> Result<Vec<(usize, Answer<V>)>, GetError<E>>
    where
        L: FnOnce(Vec<usize>, Load) -> F,
        F: Future<Output = Result<Vec<Loaded<V>>, E>>,
    {
        let KindState { policy, stats, .. } = self.kind(kind);
        let runtime = self.backplane.runtime();
        let started = runtime.now();
        // One load for all: it must do for the most demanding of them.
        let positions = missing
            .iter()
            .map(|missing| self.position(begin, missing.lease.map(|granting| granting.lease)));
        let position = positions.fold(Position::default(), Position::max);
        let places: Vec<usize> = missing.iter().map(|missing| missing.at).collect();
        let context = Load {
            position,
            background: false,
        };
        let loading = timeout(runtime, policy.hard_timeout, load(places, context));
        let extended = |_| {};
        let loaded = self
            .while_renewing(kind, leases.held(), asked, extended, loading)
            .await;
        let took = runtime.now().since(started);
        stats.loads.record(took);
        let error = match loaded {
            // Whose value is missing cannot be told.
            Ok(Ok(loaded)) if loaded.len() != missing.len() => {
                stats.count(Counter::LoadError);
                GetError::Incomplete
            }
            Ok(Ok(loaded)) => {
                let asking = (begin, asked, removals);
                let stored = self.store_many(kind, items, missing, (loaded, took), asking, leases);
                return Ok(stored.await);
            }
            Ok(Err(error)) => {
                stats.count(Counter::LoadError);
                GetError::Load(error)
            }
            Err(_) => {
                stats.count(Counter::LoadTimeout);
                GetError::Timeout
            }
        };
        let mut instead = Vec::with_capacity(missing.len());
        let mut failed = None;
        for missing in missing {
            match self.stand_in(kind, missing.candidate, error.clone()) {
                Ok(answer) => instead.push((missing.at, answer)),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        for (_, answer) in &instead {
            stats.count(match answer.state {
                State::Unverified => Counter::Unverified,
                _ => Counter::StaleOnError,
            });
        }
        Ok(instead)
    }

    async fn store_many(
        &self,
        kind: Kind,
        items: &[Item],
        missing: Vec<Missing<V>>,
        (loaded, took): (Vec<Loaded<V>>, Duration),
        (begin, asked, removals): Asking,
        leases: &mut Leases<V, E, M, S, R>,
    ) -> Vec<(usize, Answer<V>)> {
        let stats = &self.kind(kind).stats;
        let mut answers = Vec::with_capacity(missing.len());
        let mut fills: Vec<Fill> = Vec::new();
        let mut filled: Vec<usize> = Vec::new();
        for (missing, loaded) in missing.into_iter().zip(loaded) {
            let Item { key, tags } = &items[missing.at];
            let mut tags = tags.clone();
            tags.extend(loaded.tags);
            tags.sort_unstable();
            tags.dedup();
            let lease = missing.lease.map(|granting| granting.lease);
            let meta = self.meta(kind, lease.is_some(), loaded.absent, took);
            let stamp = missing.lease.map_or(begin.stamp, |granting| granting.stamp);
            // What another cache has given is for one key at a time to keep.
            let is_present = loaded.vintage == Vintage::Present;
            let fits = is_present && tags.len() <= MAX_TAGS && key.len() <= MAX_KEY;
            let payload = encode(&loaded.value);
            let entry = self.made(
                kind,
                key,
                loaded.value,
                (stamp, asked),
                &tags,
                (meta, asked),
            );
            let entry = Arc::new(entry);
            match lease {
                Some(lease) if fits => {
                    fills.push(fill(key, lease, tags, meta, payload));
                    filled.push(answers.len());
                }
                // Another node loads it, too, or the shared tier is away: memory is enough.
                _ if fits => self.keep_unless_removed(&Arc::from(&**key), &entry, removals),
                _ => {}
            }
            stats.count(Counter::Miss);
            if entry.absent {
                stats.count(Counter::Negative);
            }
            answers.push((missing.at, Answer::new(entry, From::Source, State::Fresh)));
        }
        if fills.is_empty() {
            return answers;
        }
        let filling = self.backplane.tier().fill_many(fills);
        match self.backplane.ask(filling).await {
            Ok(results) => {
                for (result, at) in results.into_iter().zip(filled) {
                    let (place, answer) = &answers[at];
                    leases.end(*place);
                    if result == Filled::Stored {
                        let key = Arc::from(&*items[*place].key);
                        self.keep_unless_removed(&key, &answer.entry, removals);
                    } else {
                        // Raised meanwhile: true for this reader, who asked before, and for nobody else.
                        stats.count(Counter::FillRefused);
                    }
                }
            }
            Err(_) => stats.count(Counter::SharedError),
        }
        answers
    }
}
