//! Fakes whose time only moves when a test says so.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use time::OffsetDateTime;
use time::macros::datetime;

use crate::{Clock, Monotonic, Random, Timer};

/// A clock that stands still until [`ManualClock::advance`]. Clones share the same time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    state: Arc<Mutex<ClockState>>,
}

#[derive(Debug)]
struct ClockState {
    now: Monotonic,
    wall: OffsetDateTime,
    sleepers: Vec<Sleeper>,
    next_sleeper: u64,
}

#[derive(Debug)]
struct Sleeper {
    id: u64,
    deadline: Monotonic,
    waker: Waker,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl ManualClock {
    /// A clock at its start, on 1 January 2026 at noon UTC.
    pub fn new() -> Self {
        Self {
            state: Arc::new(Mutex::new(ClockState {
                now: Monotonic::START,
                wall: datetime!(2026-01-01 12:00 UTC),
                sleepers: Vec::new(),
                next_sleeper: 0,
            })),
        }
    }

    /// Moves both times forward and wakes every sleep whose deadline has come, earliest first.
    pub fn advance(&self, duration: Duration) {
        let mut due = {
            let mut state = self.lock();
            state.now = state.now + duration;
            state.wall += duration;
            let now = state.now;
            state
                .sleepers
                .extract_if(.., |sleeper| sleeper.deadline <= now)
                .collect::<Vec<_>>()
        };
        due.sort_by_key(|sleeper| (sleeper.deadline, sleeper.id));
        // Woken outside the lock: a waker may poll, and polling takes the lock.
        for sleeper in due {
            sleeper.waker.wake();
        }
    }

    /// Sets the time of day and leaves the monotonic time alone, as an operator would.
    pub fn set_wall(&self, wall: OffsetDateTime) {
        self.lock().wall = wall;
    }

    /// How many sleeps wait for this clock: what a test asserts before it advances the time.
    pub fn sleepers(&self) -> usize {
        self.lock().sleepers.len()
    }

    /// The earliest deadline that something sleeps for.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let state = self.lock();
        state.sleepers.iter().map(|sleeper| sleeper.deadline).min()
    }

    fn lock(&self) -> MutexGuard<'_, ClockState> {
        // A test that panicked while it held the lock has failed already.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Monotonic {
        self.lock().now
    }

    fn wall(&self) -> OffsetDateTime {
        self.lock().wall
    }
}

/// A timer whose sleeps end when its [`ManualClock`] is moved past them.
#[derive(Clone, Debug)]
pub struct ManualTimer {
    clock: ManualClock,
}

impl ManualTimer {
    /// A timer that follows `clock`.
    pub fn new(clock: &ManualClock) -> Self {
        Self {
            clock: clock.clone(),
        }
    }
}

impl Timer for ManualTimer {
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        ManualSleep {
            deadline: self.clock.now() + duration,
            clock: self.clock.clone(),
            id: None,
        }
    }
}

struct ManualSleep {
    clock: ManualClock,
    deadline: Monotonic,
    /// The entry among the clock's sleepers, once polled.
    id: Option<u64>,
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut state = this.clock.lock();
        if this.deadline <= state.now {
            return Poll::Ready(());
        }
        let id = *this.id.get_or_insert_with(|| {
            state.next_sleeper += 1;
            state.next_sleeper
        });
        match state.sleepers.iter_mut().find(|sleeper| sleeper.id == id) {
            Some(sleeper) => sleeper.waker.clone_from(context.waker()),
            None => state.sleepers.push(Sleeper {
                id,
                deadline: this.deadline,
                waker: context.waker().clone(),
            }),
        }
        Poll::Pending
    }
}

impl Drop for ManualSleep {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let mut state = self.clock.lock();
            state.sleepers.retain(|sleeper| sleeper.id != id);
        }
    }
}

/// Bytes that only look random: the same seed gives the same ones (`SplitMix64`). Clones share the
/// sequence. Never for secrets.
#[derive(Clone, Debug)]
pub struct SeededRandom {
    state: Arc<Mutex<u64>>,
}

impl SeededRandom {
    /// The sequence that `seed` stands for.
    pub fn new(seed: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new(seed)),
        }
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in bytes.chunks_mut(8) {
            // Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = *state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            chunk.copy_from_slice(&mixed.to_le_bytes()[..chunk.len()]);
        }
    }
}

/// All fakes in one [`Runtime`](crate::Runtime): a manual clock, its timer and seeded randomness.
#[derive(Clone, Debug)]
pub struct ManualRuntime {
    /// The clock to advance.
    pub clock: ManualClock,
    /// The timer that follows it.
    pub timer: ManualTimer,
    /// The seeded bytes.
    pub random: SeededRandom,
}

impl ManualRuntime {
    /// A runtime at the start of its clock, whose random bytes follow from `seed`.
    pub fn new(seed: u64) -> Self {
        let clock = ManualClock::new();
        Self {
            timer: ManualTimer::new(&clock),
            random: SeededRandom::new(seed),
            clock,
        }
    }
}

impl Clock for ManualRuntime {
    fn now(&self) -> Monotonic {
        self.clock.now()
    }

    fn wall(&self) -> OffsetDateTime {
        self.clock.wall()
    }
}

impl Timer for ManualRuntime {
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.timer.sleep(duration)
    }
}

impl Random for ManualRuntime {
    fn fill(&self, bytes: &mut [u8]) {
        self.random.fill(bytes);
    }
}

#[cfg(test)]
mod tests;
