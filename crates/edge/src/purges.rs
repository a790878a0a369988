//! What was purged lately: what was fetched before must not be stored behind it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many purges are remembered. What was fetched before all of them is not stored, whatever it is.
const REMEMBERED: usize = 1024;

/// What a purge is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Key(Box<str>),
    Prefix(Box<str>),
}

impl Scope {
    fn holds(&self, key: &str) -> bool {
        match self {
            Self::Key(one) => **one == *key,
            Self::Prefix(prefix) => key.starts_with(&**prefix),
        }
    }
}

/// The newest purges, numbered from one.
#[derive(Debug, Default)]
pub(crate) struct Purges {
    newest: AtomicU64,
    recent: Mutex<VecDeque<Scope>>,
}

impl Purges {
    /// What is fetched from now on has seen this.
    pub(crate) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    /// Takes note of a purge, before anything is removed.
    pub(crate) fn note(&self, scope: Scope) {
        let mut recent = self.recent();
        if recent.len() == REMEMBERED {
            recent.pop_front();
        }
        recent.push_back(scope);
        self.newest.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether what is stored for a key was purged, or may have been, since there was this newest one.
    pub(crate) fn has_reached(&self, key: &str, newest: u64) -> bool {
        if self.newest() == newest {
            return false;
        }
        let recent = self.recent();
        let since = self.newest().saturating_sub(newest);
        let since = usize::try_from(since).unwrap_or(usize::MAX);
        since > recent.len() || recent.iter().rev().take(since).any(|one| one.holds(key))
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<Scope>> {
        // Nothing that can panic happens between two changes of it.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_fetched_before_a_purge_of_it_is_found_out() {
        let purges = Purges::default();
        let before = purges.newest();
        assert!(!purges.has_reached("/a", before));
        purges.note(Scope::Key("/a".into()));
        let between = purges.newest();
        purges.note(Scope::Prefix("/b/".into()));
        for (key, since, reached) in [
            ("/a", before, true),
            ("/a", between, false),
            ("/a?x", before, false),
            ("/b/c", before, true),
            ("/b/c", between, true),
            ("/b/c", purges.newest(), false),
            ("/b", before, false),
        ] {
            assert_eq!(purges.has_reached(key, since), reached, "{key} {since}");
        }
    }

    #[test]
    fn what_is_too_old_to_be_known_counts_as_reached() {
        let purges = Purges::default();
        let before = purges.newest();
        for _ in 0..=REMEMBERED {
            purges.note(Scope::Key("/a".into()));
        }
        assert!(purges.has_reached("/other", before));
        assert!(!purges.has_reached("/other", before + 1));
    }
}
