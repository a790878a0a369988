//! Threads for work that keeps a processor busy, behind a queue that is bounded in length and time.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pitchey_api::ports::Busy;
use pitchey_passwords::Memory;
use pitchey_runtime::{Clock, Monotonic, Timer, timeout};
use tokio::sync::oneshot;

/// Jobs that wait for a thread.
const QUEUED: &str = "password_jobs_queued";
/// How long jobs took once they had begun. Label: `operation`.
const DURATION: &str = "password_job_duration_seconds";
/// Jobs that were not done. Labels: `operation`, `reason` (`full`, `late`, `failed`).
const REFUSED: &str = "password_jobs_refused_total";

/// Below everything else that is done here, but not the lowest: that is a seventieth of the time of an ordinary
/// thread, and beside one that is always busy nobody could sign in. This is a tenth.
const NICE: i32 = 10;

/// A begun job that is not done after this time is given up on: a machine that is so busy answers
/// nobody in time.
const LONGEST_JOB: Duration = Duration::from_secs(30);

/// What a refused caller is told to wait at least, and at most.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What the pool allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoolLimits {
    /// Jobs done at once.
    pub(super) threads: usize,
    /// Jobs that may wait.
    pub(super) queue: usize,
    /// How long a job may wait.
    pub(super) max_wait: Duration,
}

/// The threads' owner. Dropping it ends them after the job in hand; the others are refused.
pub(super) struct Pool<R> {
    shared: Arc<Shared<R>>,
}

struct Shared<R> {
    runtime: R,
    limits: PoolLimits,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    running: usize,
    /// What a job has taken lately, on average.
    mean: Duration,
    closed: bool,
}

struct Job {
    operation: &'static str,
    /// When its caller stops waiting.
    until: Monotonic,
    /// Tells the caller that its job is begun. If nobody listens, it is not.
    begun: oneshot::Sender<()>,
    work: Box<dyn FnOnce(&mut Memory) + Send>,
}

impl<R: Clock + Timer + Clone + Send + Sync + 'static> Pool<R> {
    pub(super) fn start(limits: PoolLimits, runtime: R) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            runtime,
            limits,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        // Made before the threads, so that those that there are end if one cannot be had.
        let pool = Self { shared };
        for number in 0..limits.threads {
            let shared = pool.shared.clone();
            std::thread::Builder::new()
                .name(format!("password-{number}"))
                .spawn(move || shared.work())?;
        }
        Ok(pool)
    }

    /// Does `work` on one of the threads, unless it cannot be begun in time.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let refused = |reason: &'static str, retry_after: Duration| {
            metrics::counter!(REFUSED, "operation" => operation, "reason" => reason).increment(1);
            let (least, most) = RETRY_AFTER;
            Busy {
                retry_after: retry_after.clamp(least, most),
            }
        };
        let (begun, has_begun) = oneshot::channel();
        let (done, is_done) = oneshot::channel();
        let job = Job {
            operation,
            until: self.shared.runtime.now() + self.shared.limits.max_wait,
            begun,
            work: Box::new(move |memory| {
                // Nobody listens any more: the work was for nothing, and that is all.
                let _ = done.send(work(memory));
            }),
        };
        self.shared
            .queue(job)
            .map_err(|wait| refused("full", wait))?;

        let (runtime, max_wait) = (&self.shared.runtime, self.shared.limits.max_wait);
        match timeout(runtime, max_wait, has_begun).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(refused("failed", Duration::ZERO)),
            Err(_) => return Err(refused("late", self.shared.lock().wait(self.shared.limits))),
        }
        match timeout(runtime, LONGEST_JOB, is_done).await {
            Ok(Ok(value)) => Ok(value),
            // It panicked, and the hook of telemetry has said so.
            Ok(Err(_)) => Err(refused("failed", Duration::ZERO)),
            Err(_) => Err(refused("late", LONGEST_JOB)),
        }
    }
}

impl<R> Drop for Pool<R> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.queue.clear();
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl<R> Shared<R> {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Work is done outside the lock, so a panic leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Clock> Shared<R> {
    /// Puts a job at the end of the queue, or tells how long it would have to wait.
    fn queue(&self, job: Job) -> Result<(), Duration> {
        let now = self.runtime.now();
        let mut state = self.lock();
        if state.queue.len() >= self.limits.queue {
            state.queue.retain(|job| job.is_wanted(now));
        }
        let wait = state.wait(self.limits);
        // What cannot be in time is not kept waiting for nothing.
        if state.queue.len() >= self.limits.queue || wait > self.limits.max_wait {
            return Err(wait);
        }
        state.queue.push_back(job);
        metrics::gauge!(QUEUED).set(state.queue.len() as f64);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// A thread's life.
    fn work(&self) {
        if let Err(error) = rustix::process::nice(NICE) {
            tracing::warn!(%error, "passwords are hashed at normal priority");
        }
        let mut memory = Memory::default();
        while let Some(Job {
            operation,
            begun,
            work,
            ..
        }) = self.next()
        {
            let start = self.runtime.now();
            // A job whose caller has gone is not begun.
            if begun.send(()).is_ok() {
                // The thread is worth more than the job, and the memory is overwritten by the next.
                let _ = catch_unwind(AssertUnwindSafe(|| work(&mut memory)));
                let took = self.runtime.now() - start;
                metrics::histogram!(DURATION, "operation" => operation).record(took.as_secs_f64());
                self.lock().took(took);
            }
            self.lock().running -= 1;
        }
    }

    /// Waits for the next job that somebody waits for; `None` at the end.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.queue.pop_front() {
                metrics::gauge!(QUEUED).set(state.queue.len() as f64);
                if job.is_wanted(self.runtime.now()) {
                    state.running += 1;
                    return Some(job);
                }
                continue;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl State {
    /// How long one more job would wait.
    fn wait(&self, limits: PoolLimits) -> Duration {
        let ahead = (self.queue.len() + self.running + 1).saturating_sub(limits.threads);
        let rounds = ahead.div_ceil(limits.threads.max(1));
        self.mean
            .saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
    }

    /// Learns from a job: one eighth of what it took goes into the average.
    fn took(&mut self, took: Duration) {
        self.mean = if self.mean.is_zero() {
            took
        } else {
            (self.mean * 7).saturating_add(took) / 8
        };
    }
}

impl Job {
    fn is_wanted(&self, now: Monotonic) -> bool {
        now < self.until && !self.begun.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use pitchey_runtime::ManualRuntime;

    use super::*;

    const LIMITS: PoolLimits = PoolLimits {
        threads: 1,
        queue: 1,
        max_wait: Duration::from_secs(4),
    };

    fn pool(limits: PoolLimits) -> (Arc<Pool<ManualRuntime>>, ManualRuntime) {
        let runtime = ManualRuntime::new(1);
        let pool = Pool::start(limits, runtime.clone()).expect("threads");
        (Arc::new(pool), runtime)
    }

    /// Keeps a thread busy until the returned sender is dropped or used.
    async fn occupy(pool: &Arc<Pool<ManualRuntime>>) -> (mpsc::Sender<()>, Running<()>) {
        let (go_on, wait) = mpsc::channel::<()>();
        let (tell, begun) = oneshot::channel();
        let running = submit(pool, move || {
            let _ = tell.send(());
            let _ = wait.recv();
        });
        begun.await.expect("the job is begun");
        (go_on, running)
    }

    type Running<T> = tokio::task::JoinHandle<Result<T, Busy>>;

    #[expect(
        clippy::disallowed_methods,
        reason = "a test's tasks end with the test"
    )]
    fn submit<T: Send + 'static>(
        pool: &Arc<Pool<ManualRuntime>>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Running<T> {
        let pool = pool.clone();
        tokio::spawn(async move { pool.run("test", |_| work()).await })
    }

    /// Lets the submitted job get into the queue.
    async fn until_queued(pool: &Arc<Pool<ManualRuntime>>, jobs: usize) {
        while pool.shared.lock().queue.len() != jobs {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn work_is_done_on_a_named_thread_of_a_low_priority() {
        let (pool, _) = pool(LIMITS);
        let nice = || rustix::process::getpriority_process(None).expect("a priority");
        let job = move || (std::thread::current().name().map(str::to_owned), nice());
        let (name, priority) = submit(&pool, job).await.expect("no panic").expect("done");
        assert_eq!(name.as_deref(), Some("password-0"));
        assert_eq!(priority, NICE);
        assert!(nice() < NICE, "only that thread");
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let (pool, _) = pool(LIMITS);
        let (go_on, first) = occupy(&pool).await;
        let second = submit(&pool, || 2);
        until_queued(&pool, 1).await;
        let third = pool.run("test", |_| 3).await;
        assert_eq!(
            third,
            Err(Busy {
                retry_after: RETRY_AFTER.0
            })
        );
        drop(go_on);
        assert_eq!(first.await.expect("no panic"), Ok(()));
        assert_eq!(second.await.expect("no panic"), Ok(2));
    }

    #[tokio::test]
    async fn what_would_wait_too_long_is_refused_at_once() {
        let (pool, runtime) = pool(PoolLimits {
            queue: 10,
            ..LIMITS
        });
        let (go_on, first) = occupy(&pool).await;
        runtime.clock.advance(Duration::from_secs(3));
        drop(go_on);
        assert_eq!(first.await.expect("no panic"), Ok(()));

        // Jobs take three seconds: one may wait for another, but not for two.
        let (go_on, first) = occupy(&pool).await;
        let second = submit(&pool, || 2);
        until_queued(&pool, 1).await;
        let third = pool.run("test", |_| 3).await;
        let retry_after = Duration::from_secs(6);
        assert_eq!(third, Err(Busy { retry_after }));
        drop(go_on);
        assert_eq!(first.await.expect("no panic"), Ok(()));
        assert_eq!(second.await.expect("no panic"), Ok(2));
    }

    #[tokio::test]
    async fn a_job_whose_caller_has_gone_is_not_begun_and_leaves_its_place() {
        let (pool, _) = pool(LIMITS);
        let (go_on, first) = occupy(&pool).await;
        let (tell, told) = mpsc::channel();
        let gone = submit(&pool, move || tell.send(()));
        until_queued(&pool, 1).await;
        gone.abort();
        assert!(gone.await.expect_err("aborted").is_cancelled());

        let next = submit(&pool, || 3);
        drop(go_on);
        assert_eq!(first.await.expect("no panic"), Ok(()));
        assert_eq!(next.await.expect("no panic"), Ok(3));
        assert_eq!(told.recv(), Err(mpsc::RecvError), "dropped without running");
    }

    #[tokio::test]
    async fn a_job_whose_wait_is_over_is_refused_and_not_begun() {
        let (pool, runtime) = pool(LIMITS);
        let (go_on, first) = occupy(&pool).await;
        let (tell, told) = mpsc::channel();
        let late = submit(&pool, move || tell.send(()));
        // The first one waits for its end, this one for its beginning.
        until_queued(&pool, 1).await;
        while runtime.clock.sleepers() < 2 {
            tokio::task::yield_now().await;
        }
        runtime.clock.advance(LIMITS.max_wait);
        let refused = late.await.expect("no panic").expect_err("too late");
        assert_eq!(refused.retry_after, RETRY_AFTER.0);
        drop(go_on);
        assert_eq!(first.await.expect("no panic"), Ok(()));
        assert_eq!(told.recv(), Err(mpsc::RecvError), "dropped without running");
    }

    #[tokio::test]
    async fn a_panic_costs_its_job_and_no_thread() {
        let (pool, _) = pool(LIMITS);
        let panicking = submit(&pool, || -> u8 { panic!("on purpose") });
        assert!(panicking.await.expect("the caller lives").is_err());
        assert_eq!(submit(&pool, || 1).await.expect("no panic"), Ok(1));
        // The answer is there a moment before the thread is free.
        while pool.shared.lock().running > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn dropping_the_pool_ends_its_threads_and_refuses_what_waits() {
        let (pool, _) = pool(PoolLimits {
            threads: 2,
            ..LIMITS
        });
        let shared = Arc::downgrade(&pool.shared);
        assert_eq!(submit(&pool, || 1).await.expect("no panic"), Ok(1));
        drop(pool);
        while shared.strong_count() > 0 {
            std::thread::yield_now();
        }
    }
}
