//! A node's memory in a simulation: it forgets at random.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::world::World;
use crate::entry::Entry;
use crate::memory::Memory;

pub(crate) struct Forgetful<V> {
    world: World,
    /// How likely a look makes it forget, in percent.
    forgets: u64,
    entries: Mutex<BTreeMap<Arc<str>, Arc<Entry<V>>>>,
}

impl<V> Forgetful<V> {
    pub(crate) fn new(world: World) -> Self {
        Self {
            world,
            forgets: 5,
            entries: Mutex::default(),
        }
    }

    /// One that forgets nothing.
    #[cfg(test)]
    pub(crate) fn faithful(world: World) -> Self {
        Self {
            forgets: 0,
            ..Self::new(world)
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Entry<V>>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Send + Sync + 'static> Memory<V> for Forgetful<V> {
    fn get(&self, key: &str) -> Option<Arc<Entry<V>>> {
        if self.world.chance(self.forgets) {
            self.lock().remove(key);
        }
        self.lock().get(key).cloned()
    }

    fn insert(
        &self,
        key: Arc<str>,
        entry: Arc<Entry<V>>,
        keep: impl FnOnce(&Entry<V>) -> bool + Send,
    ) {
        let mut entries = self.lock();
        if !entries.get(&key).is_some_and(|old| keep(old)) {
            entries.insert(key, entry);
        }
    }

    fn remove(&self, key: &str) {
        self.lock().remove(key);
    }

    fn remove_prefix(&self, prefix: &str) {
        self.lock().retain(|key, _| !key.starts_with(prefix));
    }

    fn size(&self) -> (u64, u64) {
        (self.lock().len() as u64, 0)
    }
}
