//! One request goes on where many ask for the same.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::channel::oneshot;
use pitchey_runtime::Monotonic;

/// How many keys are remembered of which responses were not to be stored.
const REMEMBERED: usize = 4096;

/// For how long. Meanwhile nobody waits for another's response of the same key.
const REMEMBERED_FOR: Duration = Duration::from_mins(1);

/// How many may wait for one response; more ask for themselves.
const MOST_WAITERS: usize = 1024;

/// What those who waited are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Landed {
    /// Look again: something was stored.
    Stored,
    /// Nothing was: each for itself.
    Nothing,
}

/// The fetches that are under way, by key.
#[derive(Debug)]
pub(crate) struct Flights {
    waiting: Mutex<HashMap<Box<str>, Vec<oneshot::Sender<Landed>>>>,
    /// Until when, in seconds of the clock, and whose hash: one word each.
    unstorable: Box<[AtomicU64]>,
    hasher: RandomState,
}

pub(crate) enum Role {
    Lead(Leader),
    Wait(oneshot::Receiver<Landed>),
    /// There are too many already, or it is not worth waiting.
    Alone,
}

/// Whoever fetches for all. Dropped, it tells that nothing was stored.
pub(crate) struct Leader {
    flights: Arc<Flights>,
    key: Box<str>,
}

impl Flights {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            unstorable: (0..REMEMBERED).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        })
    }

    pub(crate) fn enter(self: &Arc<Self>, key: &str, now: Monotonic) -> Role {
        if self.is_unstorable(key, now) {
            return Role::Alone;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiters) = waiting.get_mut(key) {
            if waiters.len() >= MOST_WAITERS {
                return Role::Alone;
            }
            let (tell, told) = oneshot::channel();
            waiters.push(tell);
            return Role::Wait(told);
        }
        waiting.insert(key.into(), Vec::new());
        Role::Lead(Leader {
            flights: self.clone(),
            key: key.into(),
        })
    }

    /// The lead, if nobody has it.
    pub(crate) fn lead(self: &Arc<Self>, key: &str) -> Option<Leader> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.contains_key(key) {
            return None;
        }
        waiting.insert(key.into(), Vec::new());
        Some(Leader {
            flights: self.clone(),
            key: key.into(),
        })
    }

    /// A response for this key was not to be stored: for a while each asks for itself.
    pub(crate) fn note_unstorable(&self, key: &str, now: Monotonic) {
        let hash = self.hasher.hash_one(key);
        let until = (now + REMEMBERED_FOR).since_start().as_secs();
        self.place(hash).store(word(hash, until), Ordering::Relaxed);
    }

    fn is_unstorable(&self, key: &str, now: Monotonic) -> bool {
        let hash = self.hasher.hash_one(key);
        let noted = self.place(hash).load(Ordering::Relaxed);
        noted >> 32 == hash >> 32 && noted & 0xffff_ffff > now.since_start().as_secs()
    }

    fn place(&self, hash: u64) -> &AtomicU64 {
        let length = self.unstorable.len() as u64;
        &self.unstorable[usize::try_from(hash % length).unwrap_or_default()]
    }
}

fn word(hash: u64, until: u64) -> u64 {
    hash & 0xffff_ffff_0000_0000 | until.min(0xffff_ffff)
}

impl Leader {
    pub(crate) fn land(self, landed: Landed) {
        self.tell(landed);
    }

    fn tell(&self, landed: Landed) {
        let waiting = &self.flights.waiting;
        let waiters = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
        for waiter in waiters.into_iter().flatten() {
            // One who has left need not be told.
            let _ = waiter.send(landed);
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.tell(Landed::Nothing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Monotonic = Monotonic::START;

    #[test]
    fn one_leads_the_others_wait_and_are_told() {
        let flights = Flights::new();
        let Role::Lead(leader) = flights.enter("/a", START) else {
            panic!("the first leads");
        };
        let Role::Wait(mut told) = flights.enter("/a", START) else {
            panic!("the second waits");
        };
        assert!(matches!(flights.enter("/b", START), Role::Lead(_)));
        assert!(flights.lead("/a").is_none());
        leader.land(Landed::Stored);
        assert_eq!(told.try_recv(), Ok(Some(Landed::Stored)));
        assert!(matches!(flights.enter("/a", START), Role::Lead(_)));
    }

    #[test]
    fn a_leader_that_is_gone_releases_the_others() {
        let flights = Flights::new();
        let leader = flights.lead("/a").expect("nobody leads");
        let Role::Wait(mut told) = flights.enter("/a", START) else {
            panic!("somebody leads");
        };
        drop(leader);
        assert_eq!(told.try_recv(), Ok(Some(Landed::Nothing)));
    }

    #[test]
    fn nobody_waits_for_what_was_not_stored_lately() {
        let flights = Flights::new();
        flights.note_unstorable("/a", START);
        let _leader = flights.lead("/a");
        assert!(matches!(flights.enter("/a", START), Role::Alone));
        let later = START + REMEMBERED_FOR;
        assert!(matches!(flights.enter("/a", later), Role::Wait(_)));
    }
}
