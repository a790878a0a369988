//! The ports on an operating system: tokio's clock and timer, the kernel's random bytes.

use std::cell::RefCell;
use std::future::Future;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::{Clock, Monotonic, Random, Spawn, Timer, timeout};

/// The real time and real randomness. Sleeping needs a tokio runtime with its timer enabled.
///
/// The monotonic clock is tokio's, so that a test that pauses tokio's time pauses clock and timer
/// together.
#[derive(Clone, Copy, Debug)]
pub struct SystemRuntime {
    start: Instant,
}

impl SystemRuntime {
    /// A runtime whose monotonic clock starts now. Points in time from two of them do not compare:
    /// a process makes one and hands out copies.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one adapter that reads the monotonic clock"
    )]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemRuntime {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemRuntime {
    fn now(&self) -> Monotonic {
        Monotonic::from_start(self.start.elapsed())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one adapter that reads the wall clock"
    )]
    fn wall(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

impl Timer for SystemRuntime {
    #[expect(clippy::disallowed_methods, reason = "the one adapter that sleeps")]
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        tokio::time::sleep(duration)
    }
}

/// Bytes of the kernel that were not handed out yet: to ask it costs as much for a few hundred as for one.
struct Drawn {
    bytes: [u8; 512],
    used: usize,
}

thread_local! {
    static DRAWN: RefCell<Drawn> = const {
        RefCell::new(Drawn {
            bytes: [0; 512],
            used: 512,
        })
    };
}

impl Drawn {
    fn take(&mut self, bytes: &mut [u8]) {
        if bytes.len() > self.bytes.len() - self.used {
            draw(&mut self.bytes);
            self.used = 0;
        }
        let from = &mut self.bytes[self.used..][..bytes.len()];
        bytes.copy_from_slice(from);
        // Whoever reads this memory later learns nothing of what was made.
        from.fill(0);
        self.used += bytes.len();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one adapter that draws random bytes"
)]
fn draw(bytes: &mut [u8]) {
    // Without randomness nothing secret can be made, and nothing here could do without.
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}

impl Random for SystemRuntime {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() > 64 {
            draw(bytes);
        } else {
            DRAWN.with_borrow_mut(|drawn| drawn.take(bytes));
        }
    }
}

/// The real time, and tasks that a stop waits for. Clones share the tasks.
#[derive(Clone, Debug)]
pub struct Background {
    system: SystemRuntime,
    tasks: TaskTracker,
}

impl Background {
    /// No tasks yet, on the clock of `system`.
    pub fn new(system: SystemRuntime) -> Self {
        Self {
            system,
            tasks: TaskTracker::new(),
        }
    }

    /// Waits for the tasks that run, for at most `patience`; whether all have ended. What is begun
    /// meanwhile is waited for, too.
    pub async fn finish(&self, patience: Duration) -> bool {
        self.tasks.close();
        timeout(&self.system, patience, self.tasks.wait())
            .await
            .is_ok()
    }
}

impl Clock for Background {
    fn now(&self) -> Monotonic {
        self.system.now()
    }

    fn wall(&self) -> OffsetDateTime {
        self.system.wall()
    }
}

impl Timer for Background {
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.system.sleep(duration)
    }
}

impl Random for Background {
    fn fill(&self, bytes: &mut [u8]) {
        self.system.fill(bytes);
    }
}

impl Spawn for Background {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn clock_and_timer_agree() {
        let runtime = SystemRuntime::new();
        let before = runtime.now();
        runtime.sleep(Duration::from_mins(1)).await;
        assert_eq!(runtime.now() - before, Duration::from_mins(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_waits_for_what_was_begun_and_not_for_ever() {
        let second = Duration::from_secs(1);
        let background = Background::new(SystemRuntime::new());
        background.spawn(background.sleep(second));
        assert!(!background.finish(second / 2).await);
        assert!(background.finish(second).await);
    }

    #[test]
    fn bytes_differ_from_draw_to_draw() {
        let runtime = SystemRuntime::new();
        let (mut first, mut second) = ([0; 32], [0; 32]);
        runtime.fill(&mut first);
        runtime.fill(&mut second);
        assert_ne!(first, second);
    }

    #[test]
    fn nothing_is_drawn_twice() {
        let runtime = SystemRuntime::new();
        let mut seen = std::collections::HashSet::new();
        for length in (8..=72).cycle().take(500) {
            let mut bytes = vec![0; length];
            runtime.fill(&mut bytes);
            assert!(
                bytes
                    .chunks_exact(8)
                    .all(|eight| seen.insert(eight.to_vec()))
            );
        }
    }

    #[test]
    fn the_wall_clock_is_in_this_century() {
        let year = SystemRuntime::new().wall().year();
        assert!((2025..2100).contains(&year), "{year}");
    }
}
