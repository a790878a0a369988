//! A node's own memory, over moka.

use std::fmt;
use std::sync::Arc;

use foldhash::fast::RandomState;
use moka::ops::compute::Op;
use moka::sync::Cache;
use pitchey_cache::{Entry, Memory};

/// Entries up to so many bytes together; moka's `TinyLFU` says which go.
///
/// Keys are hashed by foldhash: strings of some dozen bytes take it a few nanoseconds, a fraction of
/// what the standard library's `SipHash` takes, and it is seeded at random, so that nobody can prepare
/// keys that collide without seeing the hashes. It does not need the CPU's AES instructions, on whose
/// presence ahash's speed depends.
pub struct MokaMemory<V> {
    /// `None` only while it is being made: see [`MokaMemory::prime`].
    entries: Cache<Arc<str>, Option<Arc<Entry<V>>>, RandomState>,
}

/// What an entry is taken to weigh where nobody can know yet.
const TYPICAL_WEIGHT: u64 = 4096;
/// The most entries that are counted on, whatever the room.
const MOST_ENTRIES: u64 = 1 << 17;

impl<V: Send + Sync + 'static> MokaMemory<V> {
    /// An empty memory for about `bytes` bytes of entries, as they weigh themselves.
    pub fn new(bytes: u64) -> Self {
        // Twice as many as fit, half of the room together.
        let primers = (2 * bytes / TYPICAL_WEIGHT).clamp(2, 2 * MOST_ENTRIES);
        let primer_weight = u32::try_from(bytes / (2 * primers) + 1).unwrap_or(u32::MAX);
        let entries = Cache::builder()
            .max_capacity(bytes)
            .weigher(move |_: &Arc<str>, entry: &Option<Arc<Entry<V>>>| {
                entry.as_ref().map_or(primer_weight, |entry| entry.weight())
            })
            .build_with_hasher(RandomState::default());
        let memory = Self { entries };
        memory.prime(primers);
        memory
    }

    /// Has moka count for as many entries as fit.
    ///
    /// Where entries have weights it decides how large its sketch of frequencies is when half of the room
    /// is taken, and then by what would be a quarter of the entries: it forgets too soon what is asked for
    /// often, which costs some hits in a hundred. So it sees twice as many at that moment; then they go.
    fn prime(&self, primers: u64) {
        let key = |number: u64| Arc::<str>::from(number.to_string());
        for number in 0..primers {
            self.entries.insert(key(number), None);
        }
        self.entries.run_pending_tasks();
        for number in 0..primers {
            self.entries.invalidate(&*key(number));
        }
        self.entries.run_pending_tasks();
    }
}

impl<V> fmt::Debug for MokaMemory<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MokaMemory").finish_non_exhaustive()
    }
}

impl<V: Send + Sync + 'static> Memory<V> for MokaMemory<V> {
    #[inline]
    fn get(&self, key: &str) -> Option<Arc<Entry<V>>> {
        self.entries.get(key).flatten()
    }

    /// moka counts each look, also at what is not there, and prefers what was looked for often. Asked
    /// whether a key is there it counts nothing.
    fn peek(&self, key: &str) -> Option<Arc<Entry<V>>> {
        self.entries
            .contains_key(key)
            .then(|| self.get(key))
            .flatten()
    }

    fn insert(
        &self,
        key: Arc<str>,
        entry: Arc<Entry<V>>,
        keep: impl FnOnce(&Entry<V>) -> bool + Send,
    ) {
        if !self.entries.contains_key(&key) {
            // Without a look that counts. Should another be put in at this very moment, both are valid.
            self.entries.insert(key, Some(entry));
            return;
        }
        self.entries.entry(key).and_compute_with(|present| {
            let present = present.and_then(moka::Entry::into_value);
            if present.is_some_and(|present| keep(&present)) {
                Op::Nop
            } else {
                Op::Put(Some(entry))
            }
        });
    }

    fn remove(&self, key: &str) {
        self.entries.invalidate(key);
    }

    fn remove_prefix(&self, prefix: &str) {
        // One that is put in meanwhile may be missed: whoever removes ends the loads first.
        for (key, _) in &self.entries {
            if key.starts_with(prefix) {
                self.entries.invalidate(&*key);
            }
        }
    }

    /// What is pending is settled first, so that the figures are those of now.
    fn size(&self) -> (u64, u64) {
        self.entries.run_pending_tasks();
        (self.entries.entry_count(), self.entries.weighted_size())
    }
}

#[cfg(test)]
mod tests {
    use pitchey_cache::memory_contract::{self, entry};

    use super::*;

    memory_contract::suite!(over_moka, MokaMemory::<u64>::new(1 << 20));

    #[test]
    fn a_new_one_is_empty() {
        let memory = MokaMemory::<u64>::new(1 << 20);
        assert_eq!(memory.size(), (0, 0));
        assert!(memory.get("0").is_none());
    }

    #[test]
    fn what_is_in_it_weighs_no_more_than_it_was_made_for() {
        let memory = MokaMemory::<u64>::new(100_000);
        for n in 0..1000 {
            memory.insert(format!("{n}").into(), entry(n, 1000), |_| false);
        }
        memory.entries.run_pending_tasks();
        let (entries, bytes) = memory.size();
        assert!(bytes <= 100_000, "{bytes}");
        assert!(entries > 0 && entries * 1000 <= bytes, "{entries}, {bytes}");
        // One that is larger than all of it is not kept at all.
        memory.insert("large".into(), entry(1, 100_001), |_| false);
        memory.entries.run_pending_tasks();
        assert!(memory.get("large").is_none());
    }
}
