//! What all clients count together.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The longest time that is told apart from longer ones.
const LONGEST_US: u64 = 120_000_000;

/// Times to three digits.
#[derive(Debug)]
pub(super) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, 3);
        Self(histogram.expect("bounds that a histogram can have"))
    }
}

/// Times in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Figures {
    pub(super) count: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
}

impl Times {
    pub(super) fn record(&mut self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(us);
    }

    /// None of no times.
    pub(super) fn figures(&self) -> Option<Figures> {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        (!self.0.is_empty()).then(|| Figures {
            count: self.0.len(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            max_ms: at(1.0),
        })
    }
}

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Clients that were in their room at least once.
    pub(super) entered: u64,
    /// From the first byte to the answer of the room.
    pub(super) connects: Times,
    /// From when an update was due to when it came.
    pub(super) latency: Times,
    pub(super) deliveries: u64,
    /// Frames that brought them.
    pub(super) frames: u64,
    pub(super) reconnects: u64,
    pub(super) recovered: u64,
    /// Who came back and was told that what was missed is not known.
    pub(super) unrecovered: u64,
    pub(super) recovered_updates: u64,
    /// From the storm to being back in the room.
    pub(super) storm: Times,
    pub(super) slow_closed: u64,
    /// Connections that hubs closed, by code.
    pub(super) closed: BTreeMap<u16, u64>,
    pub(super) errors: BTreeMap<String, u64>,
}

/// So many kinds of errors are told apart.
const MOST_KINDS: usize = 32;

impl Counts {
    pub(super) fn error(&mut self, kind: &str) {
        if let Some(count) = self.errors.get_mut(kind) {
            *count += 1;
        } else {
            let kind = if self.errors.len() < MOST_KINDS {
                kind
            } else {
                "others"
            };
            *self.errors.entry(kind.to_owned()).or_default() += 1;
        }
    }
}

/// Counted by all clients.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

impl Tally {
    pub(super) fn lock(&self) -> MutexGuard<'_, Counts> {
        // Numbers are numbers, whoever was at it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_to_three_digits_and_none_of_none() {
        let mut times = Times::default();
        assert!(times.figures().is_none());
        for ms in 1..=100 {
            times.record(Duration::from_millis(ms));
        }
        times.record(Duration::from_hours(1));
        let figures = times.figures().expect("times");
        assert_eq!(figures.count, 101);
        assert!((figures.p50_ms - 51.0).abs() < 0.1, "{figures:?}");
        assert!(figures.max_ms > 119_000.0, "{figures:?}");
    }

    #[test]
    fn kinds_of_errors_are_bounded() {
        let mut counts = Counts::default();
        for n in 0..100 {
            counts.error(&n.to_string());
            counts.error("0");
        }
        assert_eq!(counts.errors.len(), MOST_KINDS + 1);
        assert_eq!(counts.errors["0"], 101);
        assert_eq!(counts.errors["others"], 68);
    }
}
