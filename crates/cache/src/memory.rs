//! The port to a node's own memory: bounded, synchronous, shared by its threads.

#[cfg(feature = "testing")]
pub mod contract;

use std::sync::Arc;

use crate::entry::Entry;

/// A bounded map from keys to entries that evicts what is least worth keeping.
///
/// It keeps no times: what an entry may be used for is the engine's business. It may forget any entry
/// at any moment.
pub trait Memory<V>: Send + Sync + 'static {
    /// The entry of a key. On the hit path: it does not allocate.
    fn get(&self, key: &str) -> Option<Arc<Entry<V>>>;

    /// The same for one who looks again within one use: what decides on evictions does not count it.
    fn peek(&self, key: &str) -> Option<Arc<Entry<V>>> {
        self.get(key)
    }

    /// Puts an entry in, unless `keep` says of the one that is there that it stays. Where two are put in for
    /// a key that has none at the same moment, either may stay.
    fn insert(
        &self,
        key: Arc<str>,
        entry: Arc<Entry<V>>,
        keep: impl FnOnce(&Entry<V>) -> bool + Send,
    );

    /// Forgets a key.
    fn remove(&self, key: &str);

    /// Forgets the keys that begin so.
    fn remove_prefix(&self, prefix: &str);

    /// How many entries there are, and what they weigh together, in bytes; about.
    fn size(&self) -> (u64, u64);
}
