//! What an isolate keeps in its memory: bounded, and gone with the isolate.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use pitchey_cache::{Entry, Memory};
use pitchey_edge::{Page, Slot, Store};

/// Values by text, up to so many bytes together as they weigh themselves; what was not asked for the
/// longest goes first.
pub struct Bounded<V> {
    inner: Mutex<Inner<V>>,
    most: usize,
    weigh: fn(&V) -> usize,
}

struct Inner<V> {
    values: LruCache<Arc<str>, Arc<V>>,
    weight: usize,
}

impl<V> Bounded<V> {
    /// An empty map for `bytes` bytes of values and their keys.
    pub fn new(bytes: usize, weigh: fn(&V) -> usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                values: LruCache::unbounded(),
                weight: 0,
            }),
            most: bytes,
            weigh,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Arc<V>> {
        self.lock().values.get(key).cloned()
    }

    /// Puts what `change` makes of what is there in its place, or removes it.
    pub fn update(&self, key: &str, change: impl FnOnce(Option<&Arc<V>>) -> Option<Arc<V>>) {
        let mut inner = self.lock();
        let there = inner.values.peek(key).cloned();
        let next = change(there.as_ref());
        if let Some(old) = there {
            inner.values.pop(key);
            inner.weight -= key.len() + (self.weigh)(&old);
        }
        let Some(next) = next else { return };
        let weight = key.len() + (self.weigh)(&next);
        if weight > self.most {
            return;
        }
        inner.weight += weight;
        inner.values.put(key.into(), next);
        while inner.weight > self.most {
            let Some((key, oldest)) = inner.values.pop_lru() else {
                break;
            };
            inner.weight -= key.len() + (self.weigh)(&oldest);
        }
    }

    /// Forgets the keys that begin so.
    pub fn remove_prefix(&self, prefix: &str) {
        let mut inner = self.lock();
        let keys = inner.values.iter().map(|(key, _)| key.clone());
        let keys: Vec<Arc<str>> = keys.filter(|key| key.starts_with(prefix)).collect();
        for key in keys {
            if let Some(value) = inner.values.pop(&key) {
                inner.weight -= key.len() + (self.weigh)(&value);
            }
        }
    }

    /// How many values there are, and what they weigh together.
    pub fn size(&self) -> (u64, u64) {
        let inner = self.lock();
        (inner.values.len() as u64, inner.weight as u64)
    }
}

impl<V> std::fmt::Debug for Bounded<V> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Bounded").finish_non_exhaustive()
    }
}

/// A [`Store`] in the memory of the isolate.
#[derive(Debug)]
pub struct IsolateStore {
    slots: Bounded<Slot>,
    largest_body: u64,
}

impl IsolateStore {
    /// One for so many bytes, and bodies of at most `largest_body` bytes.
    pub fn new(bytes: usize, largest_body: u64) -> Self {
        Self {
            slots: Bounded::new(bytes, Slot::weight),
            largest_body,
        }
    }
}

impl Store for IsolateStore {
    async fn get(&self, key: &str) -> Option<Arc<Slot>> {
        self.slots.get(key)
    }

    async fn update(
        &self,
        key: &str,
        change: impl Fn(Option<&Arc<Slot>>) -> Option<Arc<Slot>> + Send + Sync,
    ) {
        self.slots.update(key, change);
    }

    async fn remove_prefix(&self, prefix: &str) -> bool {
        self.slots.remove_prefix(prefix);
        true
    }

    fn largest_body(&self) -> u64 {
        self.largest_body
    }

    fn size(&self) -> (u64, u64) {
        self.slots.size()
    }
}

/// The [`Memory`] of a cache, in that of the isolate.
#[derive(Debug)]
pub struct IsolateMemory<V> {
    entries: Bounded<Entry<V>>,
}

impl<V> IsolateMemory<V> {
    /// One for so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self {
            entries: Bounded::new(bytes, weight),
        }
    }
}

impl IsolateMemory<Page> {
    /// One for so many bytes of pages. What was sent once is in JavaScript as well.
    pub fn of_pages(bytes: usize) -> Self {
        let weigh = |entry: &Entry<Page>| weight(entry).saturating_mul(2);
        Self {
            entries: Bounded::new(bytes, weigh),
        }
    }
}

fn weight<V>(entry: &Entry<V>) -> usize {
    usize::try_from(entry.weight()).unwrap_or(usize::MAX)
}

impl<V: Send + Sync + 'static> Memory<V> for IsolateMemory<V> {
    fn get(&self, key: &str) -> Option<Arc<Entry<V>>> {
        self.entries.get(key)
    }

    fn insert(
        &self,
        key: Arc<str>,
        entry: Arc<Entry<V>>,
        keep: impl FnOnce(&Entry<V>) -> bool + Send,
    ) {
        self.entries.update(&key, |there| {
            let stays = there.filter(|there| keep(there)).cloned();
            Some(stays.unwrap_or(entry))
        });
    }

    fn remove(&self, key: &str) {
        self.entries.update(key, |_| None);
    }

    fn remove_prefix(&self, prefix: &str) {
        self.entries.remove_prefix(prefix);
    }

    fn size(&self) -> (u64, u64) {
        self.entries.size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_made_of_what_is_there_and_goes_when_nothing_is_made() {
        let map = Bounded::<u32>::new(1000, |_| 10);
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
    fn it_weighs_no_more_than_it_was_made_for_and_what_was_not_asked_for_goes_first() {
        let map = Bounded::<u32>::new(33, |_| 10);
        for key in ["a", "b", "c"] {
            map.update(key, |_| Some(Arc::new(0)));
        }
        assert!(map.get("a").is_some());
        map.update("d", |_| Some(Arc::new(0)));
        assert!(map.get("a").is_some() && map.get("b").is_none());
        assert_eq!(map.size(), (3, 33));
        map.remove_prefix("d");
        assert_eq!((map.get("d"), map.size()), (None, (2, 22)));
        map.update("d", |_| Some(Arc::new(0)));
        let too_large = "x".repeat(30);
        map.update(&too_large, |_| Some(Arc::new(0)));
        assert!(map.get(&too_large).is_none());
        assert_eq!(map.size(), (3, 33));
    }
}
