//! The caches as operators see them.

use std::time::Duration;

use pitchey_api::ports::{Boxed, CacheDesk};
use pitchey_api::{CacheEntry, CacheStatus, MemoryStatus, Purge, Purged, TierEntry};
use pitchey_cache::shared::{Lookup, Shared, Stored, Strength, Wish};
use pitchey_cache::stats::KindSnapshot;
use pitchey_cache::{Entry, Position, Verdict};
use pitchey_resilience::Phase;
use pitchey_runtime::{Clock as _, Monotonic};

use crate::caches::{Caches, OriginCaches};

impl CacheDesk for OriginCaches {
    fn status(&self) -> CacheStatus {
        match self {
            Self::Redis(caches, link) => caches.status(Some(link.is_connected())),
            Self::Alone(caches) => caches.status(None),
        }
    }

    fn stats(&self) -> Vec<(&'static str, KindSnapshot)> {
        match self {
            Self::Redis(caches, _) => caches.stats(),
            Self::Alone(caches) => caches.stats(),
        }
    }

    fn inspect<'a>(&'a self, key: &'a str) -> Boxed<'a, CacheEntry> {
        match self {
            Self::Redis(caches, _) => Box::pin(caches.inspect(key)),
            Self::Alone(caches) => Box::pin(caches.inspect(key)),
        }
    }

    fn purge(&self, purge: Purge) -> Boxed<'_, Purged> {
        match self {
            Self::Redis(caches, _) => Box::pin(caches.purge(purge)),
            Self::Alone(caches) => Box::pin(caches.purge(purge)),
        }
    }
}

impl<S: Shared> Caches<S> {
    /// `connected` says whether there is a connection to the shared tier, if there is one at all.
    fn status(&self, connected: Option<bool>) -> CacheStatus {
        let node = self.backplane.node();
        let status = node.status(self.tasks.now());
        let memory = |cache, (entries, bytes), in_flight: usize| MemoryStatus {
            cache,
            entries,
            bytes,
            loads_in_flight: in_flight as u64,
        };
        let (answers, sessions) = (&self.answers, &self.sessions);
        CacheStatus {
            has_shared: connected.is_some(),
            connected: connected.unwrap_or(false),
            attached: status.attached,
            distrusted: node.is_distrusted(),
            epoch: status.epoch.0.to_string(),
            applied: status.applied.0,
            era: status.era,
            trusted_for_ms: millis(status.trusted_for),
            breaker: match self.backplane.breaker().phase() {
                Phase::Open | Phase::ForcedOpen => "open",
                Phase::HalfOpen => "half_open",
                Phase::Closed | Phase::ForcedClosed => "closed",
            },
            memory: vec![
                memory("answers", answers.size(), answers.in_flight()),
                memory("sessions", sessions.size(), sessions.in_flight()),
            ],
        }
    }

    fn stats(&self) -> Vec<(&'static str, KindSnapshot)> {
        let mut kinds = self.answers.stats();
        kinds.extend(self.sessions.stats());
        kinds
    }

    async fn inspect(&self, key: &str) -> CacheEntry {
        let now = self.tasks.now();
        let answer = self.answers.peek(key).map(|entry| in_memory(&entry, now));
        let session = || self.sessions.peek(key).map(|entry| in_memory(&entry, now));
        let memory = answer.or_else(session);
        if self.backplane.node().is_alone() {
            return CacheEntry {
                memory,
                ..CacheEntry::default()
            };
        }
        let lookup = Lookup {
            key: key.into(),
            wish: Wish::Never,
            lease: Duration::ZERO,
            tags: Vec::new(),
            keep: Duration::ZERO,
        };
        let (shared, shared_error) = match self.backplane.tier().lookup(&lookup).await {
            Ok(found) => (found.entry.as_ref().map(in_shared), None),
            Err(error) => (None, Some(error.to_string())),
        };
        CacheEntry {
            memory,
            shared,
            shared_error,
        }
    }

    async fn purge(&self, purge: Purge) -> Purged {
        let Purge {
            mut tags,
            soft,
            mut keys,
            prefixes,
        } = purge;
        for names in [&mut tags, &mut keys] {
            names.sort_unstable();
            names.dedup();
        }
        let mut purged = Purged {
            acknowledged: true,
            ..Purged::default()
        };
        // No position: nothing was written, and what is there may be read from any copy that was good before.
        let position = Position::default();
        if !tags.is_empty() {
            let strength = if soft { Strength::Soft } else { Strength::Hard };
            let done = self.backplane.invalidate(&tags, strength, position).await;
            purged.tags = acknowledged(&done, tags.len(), &mut purged.acknowledged);
        }
        if !keys.is_empty() {
            let done = self.backplane.remove(&keys, position).await;
            purged.keys = acknowledged(&done, keys.len(), &mut purged.acknowledged);
        }
        for prefix in &prefixes {
            let done = self.backplane.remove_prefix(prefix, position).await;
            purged.prefixes += acknowledged(&done, 1, &mut purged.acknowledged);
            purged.removed += done.unwrap_or(0);
        }
        purged
    }
}

/// How many of so many were acknowledged: all or none.
fn acknowledged<T, E: std::fmt::Display>(done: &Result<T, E>, count: usize, all: &mut bool) -> u64 {
    match done {
        Ok(_) => count as u64,
        Err(error) => {
            tracing::warn!(%error, "a purge was not acknowledged");
            *all = false;
            0
        }
    }
}

fn in_memory<V>(entry: &Entry<V>, now: Monotonic) -> TierEntry {
    TierEntry {
        state: match entry.verdict(now) {
            Verdict::Fresh => "fresh",
            Verdict::Elapsed => "elapsed",
            Verdict::Stale => "stale",
            Verdict::Expired => "expired",
            Verdict::Invalid => "invalid",
        },
        age_ms: millis(entry.age(now)),
        fresh_for_ms: millis(entry.fresh_for(now)),
        absent: entry.is_absent(),
        bytes: entry.weight().into(),
        tags: entry.tags().map(str::to_owned).collect(),
    }
}

/// What is in the shared tier: only what is valid is found there.
fn in_shared(stored: &Stored) -> TierEntry {
    let age = millis(stored.age);
    let meta = &stored.meta;
    TierEntry {
        state: if age < meta.fresh_ms && !stored.softened {
            "fresh"
        } else if age < meta.stale_ms {
            "stale"
        } else {
            "expired"
        },
        age_ms: age,
        fresh_for_ms: meta.fresh_ms.saturating_sub(age),
        absent: meta.absent,
        bytes: stored.payload.len() as u64,
        tags: stored.tags.iter().map(|tag| (**tag).to_owned()).collect(),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
