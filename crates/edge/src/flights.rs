//! One request goes on where many ask for the same.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::oneshot;
use pitchey_runtime::Monotonic;

/// How many keys are remembered of which responses were not to be stored.
const REMEMBERED: usize = 4096;

/// For how long. Meanwhile nobody waits for another's response of the same key.
const REMEMBERED_FOR: Duration = Duration::from_mins(1);

/// How many may wait for one response; more ask for themselves.
const MOST_WAITERS: usize = 1024;

/// After so long a lead is taken for lost. On Workers a request may end without a word: what it would have
/// done is then neither done nor dropped.
const LOST_AFTER: Duration = Duration::from_mins(1);

/// Every so many leads, those that are lost are looked for.
const MANY: u64 = 1024;

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
    under_way: Mutex<HashMap<Box<str>, Flight>>,
    /// How many there have been.
    number: AtomicU64,
    /// Until when, in seconds of the clock, and whose hash: one word each.
    unstorable: Box<[AtomicU64]>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Flight {
    number: u64,
    since: Monotonic,
    waiting: Vec<oneshot::Sender<Landed>>,
}

impl Flight {
    fn is_lost(&self, now: Monotonic) -> bool {
        now.since(self.since) >= LOST_AFTER
    }
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
    number: u64,
}

impl Flights {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            under_way: Mutex::default(),
            number: AtomicU64::new(0),
            unstorable: (0..REMEMBERED).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        })
    }

    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn enter(self: &Arc<Self>, key: &str, now: Monotonic) -> Role {
        if self.is_unstorable(key, now) {
            return Role::Alone;
        }
        let mut under_way = self.lock();
        if let Some(flight) = under_way.get_mut(key) {
            if flight.waiting.len() >= MOST_WAITERS {
                return Role::Alone;
            }
            let (tell, told) = oneshot::channel();
            flight.waiting.push(tell);
            return Role::Wait(told);
        }
        Role::Lead(self.begin(&mut under_way, key, now))
    }

    /// The lead, if nobody has it, or whoever has is lost.
    pub(crate) fn lead(self: &Arc<Self>, key: &str, now: Monotonic) -> Option<Leader> {
        let mut under_way = self.lock();
        let is_led = under_way
            .get(key)
            .is_some_and(|flight| !flight.is_lost(now));
        (!is_led).then(|| self.begin(&mut under_way, key, now))
    }

    fn begin(
        self: &Arc<Self>,
        under_way: &mut HashMap<Box<str>, Flight>,
        key: &str,
        now: Monotonic,
    ) -> Leader {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        if number.is_multiple_of(MANY) {
            under_way.retain(|_, flight| !flight.is_lost(now));
        }
        let flight = Flight {
            number,
            since: now,
            waiting: Vec::new(),
        };
        under_way.insert(key.into(), flight);
        Leader {
            flights: self.clone(),
            key: key.into(),
            number,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Flight>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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
        let mut under_way = self.flights.lock();
        let is_own = |flight: &Flight| flight.number == self.number;
        // Another may have taken the place of one that was taken for lost.
        if !under_way.get(&self.key).is_some_and(is_own) {
            return;
        }
        let flight = under_way.remove(&self.key);
        drop(under_way);
        for waiter in flight.into_iter().flat_map(|flight| flight.waiting) {
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
        assert!(flights.lead("/a", START).is_none());
        leader.land(Landed::Stored);
        assert_eq!(told.try_recv(), Ok(Some(Landed::Stored)));
        assert!(matches!(flights.enter("/a", START), Role::Lead(_)));
    }

    #[test]
    fn a_leader_that_is_gone_releases_the_others() {
        let flights = Flights::new();
        let leader = flights.lead("/a", START).expect("nobody leads");
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
        let _leader = flights.lead("/a", START);
        assert!(matches!(flights.enter("/a", START), Role::Alone));
        let later = START + REMEMBERED_FOR;
        assert!(matches!(flights.enter("/a", later), Role::Wait(_)));
    }

    #[test]
    fn a_lead_that_nothing_is_heard_of_is_given_to_another() {
        let flights = Flights::new();
        let lost = flights.lead("/a", START).expect("nobody leads");
        let soon = START + LOST_AFTER / 2;
        assert!(flights.lead("/a", soon).is_none());
        let later = START + LOST_AFTER;
        let _leads = flights.lead("/a", later).expect("who led is lost");
        // It comes back, and ends nothing but itself.
        lost.land(Landed::Stored);
        assert!(flights.lead("/a", later).is_none());
        // The lost are forgotten, also where nobody asks for them again.
        for number in 0..10 {
            std::mem::forget(flights.lead(&format!("/{number}"), START));
        }
        for _ in 0..MANY {
            drop(flights.lead("/z", later));
        }
        assert_eq!(flights.lock().len(), 1);
    }
}
