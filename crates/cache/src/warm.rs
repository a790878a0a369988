//! Warming: loading what is likely to be asked for, before it is, without being in anybody's way.
//!
//! A [`Plan`] says what, by priority; a [`Warmer`] does it: so many at a time, so many a second, in the
//! background, leaving out what is fresh. All runs of one warmer keep to its limits together, and a run
//! ends where it stands when it is dropped.

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::{Either, select};
use futures::stream::FuturesUnordered;
use pitchey_resilience::{Bulkhead, Gcra, Quota};
use pitchey_runtime::{Clock, Timer};

use crate::backplane::World;
use crate::cache::{Cache, Kind};
use crate::entry::{Source, Value};
use crate::memory::Memory;
use crate::shared::Shared;

/// Something to be warmed.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// Its kind.
    pub kind: Kind,
    /// Its key.
    pub key: Box<str>,
    /// What is greater comes first; for instance how often it is expected to be asked for.
    pub priority: f32,
}

/// What is to be warmed: each key once, at most so many, the most important ones.
#[derive(Clone, Debug)]
pub struct Plan {
    most: usize,
    items: HashMap<Box<str>, (Kind, f32)>,
}

impl Plan {
    /// An empty plan that keeps the `most` important items.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            items: HashMap::new(),
        }
    }

    /// Adds an item. Of one that is there already the higher priority counts.
    pub fn add(&mut self, item: Planned) {
        let Planned {
            kind,
            key,
            priority,
        } = item;
        let priority = if priority.is_nan() { 0.0 } else { priority };
        let there = self.items.entry(key).or_insert((kind, priority));
        if there.1 < priority {
            *there = (kind, priority);
        }
        // Now and then, so that a plan stays bounded while it is made and adding stays cheap.
        if self.items.len() > self.most.saturating_mul(2).max(16) {
            let kept = std::mem::replace(self, Self::new(self.most)).into_items();
            let of = |item: Planned| (item.key, (item.kind, item.priority));
            self.items = kept.into_iter().map(of).collect();
        }
    }

    /// What is to be done, in its order: by priority, then by key.
    pub fn into_items(mut self) -> Vec<Planned> {
        let mut items: Vec<Planned> = self
            .items
            .drain()
            .map(|(key, (kind, priority))| Planned {
                kind,
                key,
                priority,
            })
            .collect();
        items.sort_unstable_by(|one, other| {
            let by_priority = other.priority.total_cmp(&one.priority);
            by_priority.then_with(|| one.key.cmp(&other.key))
        });
        items.truncate(self.most);
        items
    }
}

/// How gently it is warmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmerConfig {
    /// How many loads at a time.
    pub concurrency: NonZeroUsize,
    /// How many loads a second.
    pub per_second: NonZeroU32,
    /// What is fresh for so long is left alone.
    pub fresh_for: Duration,
    /// How long an item may wait for others before it is left out.
    pub patience: Duration,
}

impl Default for WarmerConfig {
    /// Two at a time, fifty a second, what is fresh for ten more seconds is left alone, half a minute.
    fn default() -> Self {
        Self {
            concurrency: NonZeroUsize::MIN.saturating_add(1),
            per_second: NonZeroU32::MIN.saturating_add(49),
            fresh_for: Duration::from_secs(10),
            patience: Duration::from_secs(30),
        }
    }
}

/// What warming one key has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warmth {
    /// It was fresh in memory.
    Fresh,
    /// It was fresh in the shared tier, and is now in memory.
    Found,
    /// It was loaded.
    Loaded,
    /// Somebody else is at it.
    Busy,
    /// Loading failed.
    Failed,
}

/// What a run has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warmed {
    /// Were fresh in memory.
    pub fresh: u64,
    /// Were fresh in the shared tier.
    pub found: u64,
    /// Were loaded.
    pub loaded: u64,
    /// Somebody else was at them.
    pub busy: u64,
    /// Could not be loaded.
    pub failed: u64,
    /// Were left out: they have no source, or waited too long.
    pub left_out: u64,
}

impl Warmed {
    fn count(&mut self, warmth: Option<Warmth>) {
        *match warmth {
            Some(Warmth::Fresh) => &mut self.fresh,
            Some(Warmth::Found) => &mut self.found,
            Some(Warmth::Loaded) => &mut self.loaded,
            Some(Warmth::Busy) => &mut self.busy,
            Some(Warmth::Failed) => &mut self.failed,
            None => &mut self.left_out,
        } += 1;
    }
}

/// Carries plans out.
#[derive(Debug)]
pub struct Warmer {
    config: WarmerConfig,
    bulkhead: Bulkhead,
    pace: Mutex<Gcra>,
}

/// Runs that may wait for one another in front of the bulkhead.
const RUNS: usize = 16;

impl Warmer {
    /// One that is at nothing.
    pub fn new(config: WarmerConfig) -> Self {
        Self {
            config,
            bulkhead: Bulkhead::new(config.concurrency, RUNS),
            pace: Mutex::new(Gcra::default()),
        }
    }

    /// Warms what is planned, in its order, from the sources that `source` gives for the items; what has
    /// none is left out. Dropping the future ends it.
    pub async fn run<V, E, M, S, R, Src>(
        &self,
        cache: &Cache<V, E, M, S, R>,
        plan: Plan,
        source: impl Fn(&Planned) -> Option<Src>,
    ) -> Warmed
    where
        V: Value,
        E: Clone + Send + Sync + 'static,
        M: Memory<V>,
        S: Shared,
        R: World,
        Src: Source<V, E>,
    {
        let runtime = cache.backplane().runtime();
        let mut warmed = Warmed::default();
        let mut running = FuturesUnordered::new();
        for item in plan.into_items() {
            let Some(source) = source(&item) else {
                warmed.count(None);
                continue;
            };
            if cache.is_fresh(&item.key, self.config.fresh_for) {
                warmed.count(Some(Warmth::Fresh));
                continue;
            }
            let turn = self.turn(runtime);
            let mut turn = pin!(turn);
            let permit = loop {
                if running.is_empty() {
                    break turn.await;
                }
                match select(turn.as_mut(), running.next()).await {
                    Either::Left((permit, _)) => break permit,
                    Either::Right((warmth, _)) => warmed.count(warmth),
                }
            };
            let Some(permit) = permit else {
                warmed.count(None);
                continue;
            };
            let fresh_for = self.config.fresh_for;
            running.push(async move {
                let warmth = cache.warm(item.kind, &item.key, fresh_for, source).await;
                drop(permit);
                warmth
            });
        }
        while let Some(warmth) = running.next().await {
            warmed.count(Some(warmth));
        }
        warmed
    }

    /// A permit when there is one, and no sooner than the pace allows.
    async fn turn(&self, runtime: &(impl Clock + Timer)) -> Option<pitchey_resilience::Permit> {
        let permit = self.bulkhead.acquire(runtime, self.config.patience).await;
        let permit = permit.ok()?;
        let interval = Duration::from_secs(1) / self.config.per_second.get();
        let quota = Quota::new(NonZeroU32::MIN, interval);
        loop {
            let verdict = {
                let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
                pace.check(quota, runtime.now())
            };
            if verdict.allowed {
                return Some(permit);
            }
            runtime.sleep(verdict.retry_after).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(key: &str, priority: f32) -> Planned {
        Planned {
            kind: Kind(0),
            key: key.into(),
            priority,
        }
    }

    #[test]
    fn a_plan_names_each_key_once_the_most_important_first() {
        let mut plan = Plan::new(3);
        for (key, priority) in [
            ("a", 1.0),
            ("b", 3.0),
            ("c", 2.0),
            ("a", 4.0),
            ("d", f32::NAN),
        ] {
            plan.add(item(key, priority));
        }
        let items = plan.into_items();
        let keys: Vec<&str> = items.iter().map(|item| &*item.key).collect();
        assert_eq!(keys, ["a", "b", "c"]);
    }

    #[test]
    fn a_plan_stays_bounded_while_it_is_made_and_keeps_the_best() {
        let mut plan = Plan::new(10);
        for n in 0..10_000_u16 {
            plan.add(item(&n.to_string(), f32::from(n % 5000)));
            assert!(plan.items.len() <= 20);
        }
        let items = plan.into_items();
        assert_eq!(items.len(), 10);
        assert!(items.iter().all(|item| item.priority >= 4995.0));
    }
}
