//! A bounded map in memory, over moka, for what has rules of its own about what it keeps.

use std::fmt;
use std::sync::Arc;

use foldhash::fast::RandomState;
use moka::ops::compute::Op;
use moka::sync::Cache;

/// Values by text, up to so many bytes together as they weigh themselves; moka's `TinyLFU` says which go.
pub struct MokaMap<V> {
    values: Cache<Arc<str>, Arc<V>, RandomState>,
}

impl<V: Send + Sync + 'static> MokaMap<V> {
    /// An empty map for about `bytes` bytes of values and their keys.
    pub fn new(bytes: u64, weigh: fn(&V) -> usize) -> Self {
        let values = Cache::builder()
            .max_capacity(bytes)
            .weigher(move |key: &Arc<str>, value: &Arc<V>| {
                u32::try_from(key.len() + weigh(value)).unwrap_or(u32::MAX)
            })
            .build_with_hasher(RandomState::default());
        Self { values }
    }

    /// The value of a key.
    #[inline]
    pub fn get(&self, key: &str) -> Option<Arc<V>> {
        self.values.get(key)
    }

    /// Puts what `change` makes of what is there in its place, or removes it, in one step.
    pub fn update(&self, key: &str, change: impl FnOnce(Option<&Arc<V>>) -> Option<Arc<V>>) {
        self.values.entry(key.into()).and_compute_with(|present| {
            let is_there = present.is_some();
            let value = present.map(moka::Entry::into_value);
            match change(value.as_ref()) {
                Some(value) => Op::Put(value),
                None if is_there => Op::Remove,
                None => Op::Nop,
            }
        });
    }

    /// Removes the keys that begin so. One that is put in meanwhile may be missed.
    pub fn remove_prefix(&self, prefix: &str) {
        for (key, _) in &self.values {
            if key.starts_with(prefix) {
                self.values.invalidate(&*key);
            }
        }
    }

    /// How many values there are, and what they weigh together. Settles what is pending first.
    pub fn size(&self) -> (u64, u64) {
        self.values.run_pending_tasks();
        (self.values.entry_count(), self.values.weighted_size())
    }
}

impl<V> fmt::Debug for MokaMap<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MokaMap").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_made_of_what_is_there_and_goes_when_nothing_is_made() {
        let map = MokaMap::<u32>::new(1000, |_| 10);
        map.update("a", |there| {
            assert!(there.is_none());
            Some(Arc::new(1))
        });
        map.update("a", |there| there.map(|there| Arc::new(**there + 1)));
        assert_eq!(map.get("a").as_deref(), Some(&2));
        assert_eq!(map.size(), (1, 11));
        map.update("a", |_| None);
        map.update("b", |_| None);
        assert!(map.get("a").is_none());
        assert_eq!(map.size(), (0, 0));
    }

    #[test]
    fn a_prefix_takes_with_it_what_begins_so() {
        let map = MokaMap::<u32>::new(1000, |_| 10);
        for key in ["/a", "/a/b", "/b/a"] {
            map.update(key, |_| Some(Arc::new(1)));
        }
        map.remove_prefix("/a");
        assert!(map.get("/a").is_none() && map.get("/a/b").is_none());
        assert!(map.get("/b/a").is_some());
    }

    #[test]
    fn it_weighs_no_more_than_it_was_made_for() {
        let map = MokaMap::<u32>::new(1000, |_| 97);
        for n in 100..200 {
            map.update(&n.to_string(), |_| Some(Arc::new(n)));
        }
        let (values, bytes) = map.size();
        assert!(values <= 10 && bytes <= 1000, "{values}, {bytes}");
    }
}
