//! How often one client may ask: the generic cell rate algorithm.
//!
//! Source: ITU-T I.371, annex A, and ATM Forum Traffic Management 4.0, section 4.4.2 ("virtual
//! scheduling"). One point in time for each key says everything: the theoretical arrival time, at
//! which the whole burst is there again.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pitchey_runtime::Monotonic;

/// How much is allowed: a burst at once, then one more each interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    burst: NonZeroU32,
    interval: Duration,
}

impl Quota {
    /// `burst` at once, then one more each `interval`. An interval of zero allows everything.
    pub const fn new(burst: NonZeroU32, interval: Duration) -> Self {
        Self { burst, interval }
    }

    /// How many may come at once.
    pub const fn burst(self) -> u32 {
        self.burst.get()
    }

    /// How long until one more may come.
    pub const fn interval(self) -> Duration {
        self.interval
    }

    /// The time from an empty burst to a full one.
    pub fn window(self) -> Duration {
        self.interval.saturating_mul(self.burst.get())
    }

    /// How many whole intervals fit into `slack`.
    fn fitting(self, slack: Duration) -> u32 {
        slack
            .as_nanos()
            .checked_div(self.interval.as_nanos())
            .and_then(|fitting| u32::try_from(fitting).ok())
            .unwrap_or(u32::MAX)
            .min(self.burst())
    }
}

/// What came of one check, in the terms of the `RateLimit` and `Retry-After` header fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether this one may pass.
    pub allowed: bool,
    /// The burst of the quota.
    pub limit: u32,
    /// How many more may come at once.
    pub remaining: u32,
    /// How long until the whole burst is there again.
    pub reset_after: Duration,
    /// How long until the next one may pass; zero if this one may.
    pub retry_after: Duration,
}

/// The state for one key: the theoretical arrival time, before which the burst is not whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gcra(Monotonic);

impl Gcra {
    /// Counts one call at `now` if `quota` allows it. What is refused is not counted.
    pub fn check(&mut self, quota: Quota, now: Monotonic) -> Verdict {
        let window = quota.window();
        let owed = self.0 - now;
        let owed_after = owed.saturating_add(quota.interval);
        let retry_after = owed_after.saturating_sub(window);
        let allowed = retry_after.is_zero();
        let owed = if allowed { owed_after } else { owed };
        if allowed {
            self.0 = now + owed;
        }
        Verdict {
            allowed,
            limit: quota.burst(),
            remaining: quota.fitting(window.saturating_sub(owed)),
            reset_after: owed,
            retry_after,
        }
    }

    /// When the whole burst is there again: from then on the state carries no information.
    pub const fn whole_at(self) -> Monotonic {
        self.0
    }
}

/// One quota for many keys, in bounded memory.
///
/// Keys whose burst is whole again are forgotten first, for nothing is lost with them. When all
/// are active, one of those nearest to being whole goes (to a 64th of the quota's window): a flood
/// of new keys pushes out its own kind, and whoever has spent a burst stays known.
///
/// A check takes constant time, amortised over the checks before it.
#[derive(Debug)]
pub struct KeyedRateLimiter<K> {
    quota: Quota,
    hasher: RandomState,
    shards: Box<[Mutex<Shard<K>>]>,
}

impl<K: Hash + Eq + Clone> KeyedRateLimiter<K> {
    /// A limiter that knows at most `capacity` keys, and at least one.
    pub fn new(quota: Quota, capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let shards = (capacity / 64).clamp(1, 16);
        Self {
            quota,
            hasher: RandomState::new(),
            shards: (0..shards)
                .map(|index| capacity / shards + usize::from(index < capacity % shards))
                .map(|capacity| Mutex::new(Shard::new(quota, capacity)))
                .collect(),
        }
    }

    /// Counts one call of `key` at `now` if the quota allows it.
    pub fn check(&self, key: &K, now: Monotonic) -> Verdict {
        let hash = self.hasher.hash_one(key);
        // The remainder is below the number of shards, so that nothing is cut off.
        #[expect(clippy::cast_possible_truncation, reason = "below 16")]
        let index = (hash % self.shards.len() as u64) as usize;
        lock(&self.shards[index]).check(key, self.quota, now)
    }

    /// The quota that every key has.
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// How many keys are known now, those that will be forgotten at the next check included.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Whether no key is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn lock<K>(shard: &Mutex<Shard<K>>) -> MutexGuard<'_, Shard<K>> {
    // A panic in a caller's `Hash` or `Clone` loses at most the state of that one key.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ticks in a window: how exactly keys are ordered by when they are whole again.
const TICKS: u64 = 64;
/// A window may begin and end inside a tick.
const SLOTS: u64 = TICKS + 2;

/// Keys with their states, and a timing wheel (Varghese and Lauck, 1987) that orders them.
///
/// A key lies in one slot of the wheel. Its state only moves on in time, and the wheel learns of
/// that when it comes to the slot: it moves the key then, at most once for each check.
#[derive(Debug)]
struct Shard<K> {
    states: HashMap<K, Gcra>,
    wheel: Box<[Vec<K>]>,
    capacity: usize,
    tick: u64,
    /// The first tick whose keys have not been looked through.
    at: u64,
}

impl<K: Hash + Eq + Clone> Shard<K> {
    fn new(quota: Quota, capacity: usize) -> Self {
        Self {
            states: HashMap::new(),
            wheel: (0..SLOTS).map(|_| Vec::new()).collect(),
            capacity,
            tick: nanoseconds(quota.window()) / TICKS + 1,
            at: 0,
        }
    }

    fn len(&self) -> usize {
        self.states.len()
    }

    fn check(&mut self, key: &K, quota: Quota, now: Monotonic) -> Verdict {
        self.forget_whole(now);
        if let Some(state) = self.states.get_mut(key) {
            return state.check(quota, now);
        }
        if self.states.len() >= self.capacity {
            self.evict();
        }
        let mut state = Gcra::default();
        let verdict = state.check(quota, now);
        self.states.insert(key.clone(), state);
        self.place(key.clone(), state);
        verdict
    }

    /// Turns the wheel to `now`.
    fn forget_whole(&mut self, now: Monotonic) {
        let now = self.tick_of(now);
        let turn = now.saturating_sub(self.at).min(SLOTS);
        let passed = self.at..self.at + turn;
        self.at = self.at.max(now);
        for tick in passed {
            for key in std::mem::take(self.slot(tick)) {
                match self.states.get(&key).copied() {
                    Some(state) if self.tick_of(state.whole_at()) >= now => self.place(key, state),
                    _ => drop(self.states.remove(&key)),
                }
            }
        }
    }

    /// Forgets a key of the first tick in which any is whole again.
    fn evict(&mut self) {
        for tick in self.at..self.at.saturating_add(SLOTS) {
            while let Some(key) = self.slot(tick).pop() {
                match self.states.get(&key).copied() {
                    Some(state) if self.tick_of(state.whole_at()) > tick => self.place(key, state),
                    _ => {
                        self.states.remove(&key);
                        return;
                    }
                }
            }
        }
    }

    fn place(&mut self, key: K, state: Gcra) {
        // A caller that read its clock before another may be behind the wheel by a little.
        let tick = self.tick_of(state.whole_at()).max(self.at);
        self.slot(tick).push(key);
    }

    fn tick_of(&self, point: Monotonic) -> u64 {
        nanoseconds(point.since_start()) / self.tick
    }

    fn slot(&mut self, tick: u64) -> &mut Vec<K> {
        let index = (tick % SLOTS) as usize;
        &mut self.wheel[index]
    }
}

/// Saturates after 584 years.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
