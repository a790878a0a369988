//! How many of something each client has, so that none takes all.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What each has. Clones share it. There are as many keys as there are shares, at most.
#[derive(Clone, Debug)]
pub(crate) struct Shares<K> {
    most: usize,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

/// One of somebody's; dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Share<K: Hash + Eq> {
    taken: Arc<Mutex<HashMap<K, usize>>>,
    key: K,
}

impl<K: Hash + Eq + Clone> Shares<K> {
    /// So many for each at most; zero is no limit.
    pub(crate) fn new(most: usize) -> Self {
        let most = if most == 0 { usize::MAX } else { most };
        Self {
            most,
            taken: Arc::default(),
        }
    }

    /// One more for somebody, unless that would be too many.
    pub(crate) fn take(&self, key: K) -> Option<Share<K>> {
        let mut taken = lock(&self.taken);
        let count = taken.entry(key.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share {
            taken: self.taken.clone(),
            key,
        })
    }
}

impl<K: Hash + Eq> Drop for Share<K> {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(count) = taken.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

fn lock<K>(taken: &Mutex<HashMap<K, usize>>) -> MutexGuard<'_, HashMap<K, usize>> {
    // Nothing that can panic happens between two changes of it.
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_more_than_a_share_and_what_is_given_back_can_be_taken() {
        let shares = Shares::new(2);
        let first = shares.take("a").expect("the first");
        let second = shares.take("a").expect("the second");
        assert!(shares.take("a").is_none());
        let other = shares.take("b").expect("another's");
        drop(first);
        let third = shares.take("a").expect("there is room again");
        assert!(shares.take("a").is_none());
        drop((third, second, other));
        assert!(lock(&shares.taken).is_empty());
        let free = Shares::new(0);
        let many: Vec<_> = (0..100).map_while(|_| free.take("a")).collect();
        assert_eq!(many.len(), 100);
    }
}
