//! What a process that lives on has counted: the window that goes on, the last ones, and the last hours.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::answered::Answered;
use super::tally::Tally;
use super::window::{Summary, Window};

/// How long a window is, in seconds.
pub(super) const WINDOW_S: u32 = 5 * 60;

pub(super) const HOUR_S: u32 = 60 * 60;

/// So many windows are told of: an hour of them.
pub(super) const WINDOWS: usize = 12;

/// So many hours are.
pub(super) const HOURS: usize = 48;

/// What was counted.
#[derive(Debug)]
pub struct Ledger {
    location: Box<str>,
    tally: Tally,
    /// When the window ends that goes on, in seconds since 1970.
    ends_s: AtomicI64,
    past: Mutex<Past>,
}

#[derive(Debug)]
struct Past {
    window: Window,
    windows: VecDeque<Window>,
    hour: Window,
    hours: VecDeque<Window>,
}

/// What is told of it, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Spans of five minutes that are over.
    pub windows: Vec<Summary>,
    /// Hours that are over.
    pub hours: Vec<Summary>,
}

impl Ledger {
    /// An empty one, of an edge at this location.
    pub fn new(location: &str, now: OffsetDateTime) -> Self {
        let now_s = now.unix_timestamp();
        let window = Window::at(now_s, WINDOW_S);
        Self {
            location: location.into(),
            tally: Tally::default(),
            ends_s: AtomicI64::new(window.from_s + i64::from(WINDOW_S)),
            past: Mutex::new(Past {
                window,
                windows: VecDeque::new(),
                hour: Window::at(now_s, HOUR_S),
                hours: VecDeque::new(),
            }),
        }
    }

    /// An answer is there, after so long. If an hour is over by it, what that comes to.
    pub fn count(
        &self,
        answered: Answered,
        took: Duration,
        now: OffsetDateTime,
    ) -> Option<Summary> {
        let over = self.turn(now);
        self.tally.count(answered, took);
        over
    }

    /// What is over.
    pub fn told(&self, now: OffsetDateTime) -> Told {
        self.turn(now);
        let past = self.past();
        let newest_first =
            |windows: &VecDeque<Window>| windows.iter().rev().map(Window::summary).collect();
        Told {
            windows: newest_first(&past.windows),
            hours: newest_first(&past.hours),
        }
    }

    /// Ends what is over.
    fn turn(&self, now: OffsetDateTime) -> Option<Summary> {
        let now_s = now.unix_timestamp();
        // Only what the lock holds is decided by; this says when it is worth taking.
        if now_s < self.ends_s.load(Ordering::Relaxed) {
            return None;
        }
        let mut past = self.past();
        if !past.window.is_over(now_s) {
            return None;
        }
        let next = Window::at(now_s, WINDOW_S);
        self.ends_s
            .store(next.from_s + i64::from(WINDOW_S), Ordering::Relaxed);
        let mut window = std::mem::replace(&mut past.window, next);
        window.add(&self.location, &self.tally.take());
        window.edges = 1;
        past.hour.join(&window);
        keep(&mut past.windows, window, WINDOWS);
        if !past.hour.is_over(now_s) {
            return None;
        }
        let hour = std::mem::replace(&mut past.hour, Window::at(now_s, HOUR_S));
        let summary = hour.summary();
        keep(&mut past.hours, hour, HOURS);
        Some(summary)
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        // Nothing that can panic happens between two changes of it.
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(windows: &mut VecDeque<Window>, window: Window, most: usize) {
    if windows.len() == most {
        windows.pop_front();
    }
    windows.push_back(window);
}
