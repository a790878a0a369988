//! A store in two layers: memory, and behind it one that several edges share and nobody can walk over, as the
//! Cache API of Workers is in each data centre.
//!
//! What lies in the second layer is a whole [`Slot`] with all that the rules of HTTP need, so that they alone
//! decide, wherever it is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use pitchey_http_cache::{SharedCache, Stored, Timestamp};

use crate::platform::Store;
use crate::slot::Slot;

/// How long the second layer keeps what is good for nothing but to be asked about again, at least.
const LEAST: u64 = 60 * 60;

/// How long it keeps anything, at most.
const MOST: u64 = 365 * 24 * 60 * 60;

/// The port to what several edges share. It may forget anything. Every call ends within a deadline of the
/// implementation's own.
pub trait Nearby: Send + Sync + 'static {
    /// What is there; an error if that cannot be said.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Bytes>, Unheard>> + Send;

    /// Puts it there, for so long.
    fn put(
        &self,
        key: &str,
        value: Bytes,
        lasting: Duration,
    ) -> impl Future<Output = Result<(), Unheard>> + Send;

    /// Removes it, if it is there.
    fn remove(&self, key: &str) -> impl Future<Output = Result<(), Unheard>> + Send;
}

/// What is shared did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what edges share did not answer")]
pub struct Unheard;

/// Memory, and perhaps something behind it.
#[derive(Debug)]
pub struct Layered<M, N> {
    memory: M,
    nearby: Option<N>,
    /// What reads the stored responses.
    cache: SharedCache,
    now: fn() -> Timestamp,
    /// How often anything was removed: what was read before is not kept behind it.
    removals: AtomicU64,
}

impl<M: Store, N: Nearby> Layered<M, N> {
    /// These two layers, read by the rules of this cache.
    pub fn new(memory: M, nearby: Option<N>, cache: SharedCache, now: fn() -> Timestamp) -> Self {
        Self {
            memory,
            nearby,
            cache,
            now,
            removals: AtomicU64::new(0),
        }
    }

    async fn shared(&self, nearby: &N, key: &str) -> Result<Option<Arc<Slot>>, Unheard> {
        let bytes = nearby.get(key).await?;
        // What another version has written is fetched again.
        let slot = bytes.and_then(|bytes| Slot::decode(&bytes, &self.cache));
        Ok(slot.map(Arc::new))
    }

    /// Does to the second layer what was done to memory. What is there comes first: another edge may have
    /// removed what is still in memory here.
    async fn write(
        &self,
        nearby: &N,
        key: &str,
        change: impl Fn(Option<&Arc<Slot>>) -> Option<Arc<Slot>>,
    ) -> Result<(), Unheard> {
        let removals = self.removals.load(Ordering::Acquire);
        let there = self.shared(nearby, key).await?;
        if self.removals.load(Ordering::Acquire) != removals {
            return Ok(());
        }
        match change(there.as_ref()) {
            Some(next) => {
                let lasting = Duration::from_secs(self.lasting(&next));
                let bytes = next.encode(&self.cache);
                nearby.put(key, bytes.into(), lasting).await
            }
            None if there.is_some() => nearby.remove(key).await,
            None => Ok(()),
        }
    }

    fn lasting(&self, slot: &Slot) -> u64 {
        servable_for(slot, (self.now)()).clamp(LEAST, MOST)
    }

    /// Whether a change is none but for its times, and what the second layer has is good for long enough.
    fn is_small(&self, before: &Slot, after: &Slot) -> bool {
        let now = (self.now)();
        before.has_bodies_of(after) && servable_for(before, now) >= servable_for(after, now) / 2
    }
}

fn servable_for(slot: &Slot, now: Timestamp) -> u64 {
    let left = |stored: &Stored| stored.servable_for(now);
    slot.variants().iter().map(left).max().unwrap_or_default()
}

impl<M: Store, N: Nearby> Store for Layered<M, N> {
    async fn get(&self, key: &str) -> Option<Arc<Slot>> {
        if let Some(slot) = self.memory.get(key).await {
            return Some(slot);
        }
        let nearby = self.nearby.as_ref()?;
        let removals = self.removals.load(Ordering::Acquire);
        let slot = self.shared(nearby, key).await.ok()??;
        if self.removals.load(Ordering::Acquire) != removals {
            return None;
        }
        // What has come there meanwhile is newer.
        let keep = |there: Option<&Arc<Slot>>| Some(there.unwrap_or(&slot).clone());
        self.memory.update(key, keep).await;
        Some(slot)
    }

    async fn update(
        &self,
        key: &str,
        change: impl Fn(Option<&Arc<Slot>>) -> Option<Arc<Slot>> + Send + Sync,
    ) {
        let before = self.memory.get(key).await;
        self.memory.update(key, &change).await;
        let Some(nearby) = &self.nearby else { return };
        let after = self.memory.get(key).await;
        if let Some((before, after)) = before.zip(after)
            && self.is_small(&before, &after)
        {
            return;
        }
        // Another edge will ask the origin itself.
        let _ = self.write(nearby, key, change).await;
    }

    async fn remove(&self, key: &str) -> bool {
        self.removals.fetch_add(1, Ordering::AcqRel);
        let removed = self.memory.remove(key).await;
        match &self.nearby {
            Some(nearby) => nearby.remove(key).await.is_ok() && removed,
            None => removed,
        }
    }

    async fn remove_prefix(&self, prefix: &str) -> bool {
        // Nobody can walk over what is shared.
        self.nearby.is_none() && self.memory.remove_prefix(prefix).await
    }

    fn largest_body(&self) -> u64 {
        self.memory.largest_body()
    }

    fn size(&self) -> (u64, u64) {
        self.memory.size()
    }
}

#[cfg(test)]
mod tests;
