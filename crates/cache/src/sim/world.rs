//! A world in which nothing happens but what a seed says: one thread, one task at a time, and time that
//! passes only when there is nothing else to do.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use pitchey_runtime::{Clock, Monotonic, Random, Spawn, Timer};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Clones are the same world, seen by one owner of tasks: ending the owner ends its tasks.
#[derive(Clone)]
pub(crate) struct World {
    core: Arc<Mutex<Core>>,
    owner: u32,
}

struct Core {
    now: u64,
    random: u64,
    next_task: u64,
    next_sleep: u64,
    tasks: BTreeMap<u64, (u32, Option<Task>)>,
    ready: Vec<u64>,
    sleeps: BTreeMap<(u64, u64), Waker>,
    polls: u64,
}

/// `SplitMix64`: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let core = Core {
            // Not at the start of the clock, so that what is old has room before it.
            now: 1_000_000_000,
            random: seed,
            next_task: 0,
            next_sleep: 0,
            tasks: BTreeMap::new(),
            ready: Vec::new(),
            sleeps: BTreeMap::new(),
            polls: 0,
        };
        Self {
            core: Arc::new(Mutex::new(core)),
            owner: 0,
        }
    }

    /// The world of another owner.
    pub(crate) fn of(&self, owner: u32) -> Self {
        Self {
            core: self.core.clone(),
            owner,
        }
    }

    /// Ends every task of an owner, in the middle of whatever it does.
    pub(crate) fn end(&self, owner: u32) {
        let ended: Vec<Option<Task>> = {
            let mut core = self.lock();
            let tasks = core.tasks.extract_if(.., |_, (of, _)| *of == owner);
            tasks.map(|(_, (_, task))| task).collect()
        };
        // Outside the lock: what is dropped may spawn.
        drop(ended);
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        draw(&mut self.lock().random) % bound.max(1)
    }

    /// Whether something of this likelihood, in percent, happens.
    pub(crate) fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) async fn pause(&self, at_most: Duration) {
        let bound = u64::try_from(at_most.as_micros()).unwrap_or(u64::MAX);
        let us = self.below(bound.saturating_add(1));
        self.sleep(Duration::from_micros(us)).await;
    }

    /// Lets things happen until `until`, or until nothing is left that could.
    pub(crate) fn run(&self, until: Monotonic) {
        self.run_while(until, || true);
    }

    /// The same, for as long as `goes_on` says so.
    pub(crate) fn run_while(&self, until: Monotonic, goes_on: impl Fn() -> bool) {
        let until = nanos(until.since_start());
        while goes_on() {
            let next = {
                let mut core = self.lock();
                core.next(until)
            };
            match next {
                Next::Poll(id, mut task) => {
                    let waker = Waker::from(Arc::new(Ready {
                        core: self.core.clone(),
                        id,
                    }));
                    let polled = task.as_mut().poll(&mut Context::from_waker(&waker));
                    let mut core = self.lock();
                    core.polls += 1;
                    let back = match polled {
                        Poll::Pending => core.tasks.get_mut(&id).map(|place| {
                            place.1 = Some(task);
                        }),
                        Poll::Ready(()) => {
                            core.tasks.remove(&id);
                            drop(core);
                            drop(task);
                            Some(())
                        }
                    };
                    // Ended while it was polled: it drops here, outside of the lock.
                    let _ = back;
                }
                Next::Wake(wakers) => wakers.into_iter().for_each(Waker::wake),
                Next::Gone => {}
                Next::Nothing => return,
            }
        }
    }

    pub(crate) fn polls(&self) -> u64 {
        self.lock().polls
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Next {
    Poll(u64, Task),
    Wake(Vec<Waker>),
    Gone,
    Nothing,
}

impl Core {
    fn next(&mut self, until: u64) -> Next {
        if !self.ready.is_empty() {
            let chosen = draw(&mut self.random) % self.ready.len() as u64;
            let id = self.ready.swap_remove(usize::try_from(chosen).unwrap_or(0));
            return match self.tasks.get_mut(&id).and_then(|(_, task)| task.take()) {
                Some(task) => Next::Poll(id, task),
                None => Next::Gone,
            };
        }
        let Some((&(at, _), _)) = self.sleeps.first_key_value() else {
            return Next::Nothing;
        };
        if at > until {
            self.now = self.now.max(until);
            return Next::Nothing;
        }
        self.now = self.now.max(at);
        let later = self.sleeps.split_off(&(self.now, u64::MAX));
        let due = std::mem::replace(&mut self.sleeps, later);
        Next::Wake(due.into_values().collect())
    }
}

struct Ready {
    core: Arc<Mutex<Core>>,
    id: u64,
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        if !core.ready.contains(&self.id) {
            core.ready.push(self.id);
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Clock for World {
    fn now(&self) -> Monotonic {
        Monotonic::from_start(Duration::from_nanos(self.lock().now))
    }

    fn wall(&self) -> time::OffsetDateTime {
        time::OffsetDateTime::UNIX_EPOCH + Duration::from_nanos(self.lock().now)
    }
}

impl Timer for World {
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        let now = self.lock().now;
        Sleep {
            core: self.core.clone(),
            until: now.saturating_add(nanos(duration)),
            id: None,
        }
    }
}

struct Sleep {
    core: Arc<Mutex<Core>>,
    until: u64,
    id: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut core = this.core.lock().unwrap_or_else(PoisonError::into_inner);
        if core.now >= this.until {
            return Poll::Ready(());
        }
        let id = *this.id.get_or_insert_with(|| {
            core.next_sleep += 1;
            core.next_sleep
        });
        core.sleeps
            .insert((this.until, id), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
            core.sleeps.remove(&(self.until, id));
        }
    }
}

impl Random for World {
    fn fill(&self, bytes: &mut [u8]) {
        let mut core = self.lock();
        for chunk in bytes.chunks_mut(8) {
            let drawn = draw(&mut core.random).to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
    }
}

impl Spawn for World {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut core = self.lock();
        let id = core.next_task;
        core.next_task += 1;
        core.tasks.insert(id, (self.owner, Some(Box::pin(work))));
        core.ready.push(id);
    }
}
