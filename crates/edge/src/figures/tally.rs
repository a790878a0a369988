//! Counting, without waiting for anybody, and what was counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answered::Answered;

/// What bounds a duration from above, in microseconds: a duration is counted at the first that is not less. What is
/// longer than all is counted behind them.
const BOUNDS_US: [u32; 24] = [
    100, 200, 500, 1_000, 2_000, 3_000, 5_000, 7_000, 10_000, 15_000, 20_000, 30_000, 50_000,
    70_000, 100_000, 150_000, 200_000, 300_000, 500_000, 700_000, 1_000_000, 2_000_000, 5_000_000,
    10_000_000,
];

/// So many counts has each kind of answer.
const PLACES: usize = BOUNDS_US.len() + 1;

/// What counts answers by their kind and how long they took.
#[derive(Debug)]
pub struct Tally(Box<[AtomicU32]>);

impl Default for Tally {
    fn default() -> Self {
        let cells = (0..Answered::COUNT * PLACES).map(|_| AtomicU32::new(0));
        Self(cells.collect())
    }
}

impl Tally {
    /// An answer is there, after so long.
    pub fn count(&self, answered: Answered, took: Duration) {
        let took = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        let place = BOUNDS_US.partition_point(|bound| *bound < took);
        // Nothing else is read by it.
        self.0[answered.index() * PLACES + place].fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted since this was asked for the last time.
    pub fn take(&self) -> Counts {
        let mut counts = Counts::default();
        for answered in Answered::all() {
            let begin = answered.index() * PLACES;
            let cells = &self.0[begin..begin + PLACES];
            let mut taken: Vec<u64> = cells
                .iter()
                .map(|cell| match cell.load(Ordering::Relaxed) {
                    0 => 0,
                    _ => cell.swap(0, Ordering::Relaxed).into(),
                })
                .collect();
            let used = taken.iter().rposition(|count| *count > 0);
            if let Some(last) = used {
                taken.truncate(last + 1);
                counts.0.insert(answered.labels().join(" "), taken);
            }
        }
        counts
    }
}

/// What was counted: of each kind, by its labels, how many answers were within each bound and not within the one
/// before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counts(BTreeMap<String, Vec<u64>>);

impl Counts {
    /// Adds others.
    pub fn add(&mut self, more: &Self) {
        for (labels, counts) in &more.0 {
            let own = self.0.entry(labels.clone()).or_default();
            // What is from elsewhere may have any length.
            let length = counts.len().min(PLACES);
            if own.len() < length {
                own.resize(length, 0);
            }
            for (own, more) in own.iter_mut().zip(counts) {
                *own = own.saturating_add(*more);
            }
        }
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Of each kind its labels, and how many answers there were.
    pub(super) fn by_labels(&self) -> impl Iterator<Item = ([&str; 3], &[u64])> {
        self.0.iter().filter_map(|(labels, counts)| {
            let mut words = labels.split(' ');
            let labels = [words.next()?, words.next()?, words.next()?];
            Some((labels, &**counts))
        })
    }
}

/// The duration that a share of all answers took at most, in milliseconds, as far as the bounds tell: within them it
/// is taken for even. What is longer than all bounds is told as the last one. `None` of nothing.
pub(super) fn quantile_ms(counts: &[u64], share: f64) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let rank = share * total as f64;
    let mut before = 0.0;
    for (place, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let count = *count as f64;
        if before + count >= rank {
            let lower = place.checked_sub(1).map_or(0, |at| BOUNDS_US[at]);
            let upper = BOUNDS_US.get(place).copied().unwrap_or(lower);
            let within = f64::from(upper - lower) * ((rank - before) / count);
            return Some((f64::from(lower) + within) / 1000.0);
        }
        before += count;
    }
    None
}
