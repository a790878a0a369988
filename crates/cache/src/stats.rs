//! What happened, kind by kind.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// What is counted for each kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter {
            $($(#[$doc])* $name),+
        }

        impl Counter {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name in figures.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text),+
                }
            }
        }
    };
}

counters! {
    /// Served fresh from memory.
    MemoryHit = "memory_hit",
    /// Served stale from memory.
    MemoryStale = "memory_stale",
    /// Served fresh from the shared tier.
    SharedHit = "shared_hit",
    /// Served stale from the shared tier.
    SharedStale = "shared_stale",
    /// Waited for a load that somebody else in this process was at.
    Coalesced = "coalesced",
    /// Waited for a load on another node.
    Awaited = "awaited",
    /// Loaded while the reader waited.
    Miss = "miss",
    /// Of the answers, those that said that there is nothing.
    Negative = "negative",
    /// Loaded behind an answer.
    Refresh = "refresh",
    /// Of these, those before the end of freshness.
    EarlyRefresh = "early_refresh",
    /// Loads that failed.
    LoadError = "load_error",
    /// Loads that were given up.
    LoadTimeout = "load_timeout",
    /// Served because loading failed.
    StaleOnError = "stale_on_error",
    /// Served while nobody could say whether it was still valid, because loading failed.
    Unverified = "unverified",
    /// Fills that came too late and were not stored; what was loaded was loaded again.
    FillRefused = "fill_refused",
    /// Entries in the shared tier that could not be read.
    Undecodable = "undecodable",
    /// Questions to the shared tier that failed or took too long.
    SharedError = "shared_error",
    /// Questions that were not asked because it is known to be away.
    SharedSkipped = "shared_skipped",
    /// Entries in memory found invalid.
    Invalid = "invalid",
}

/// Buckets of times: of each, the upper bound is twice that of the one before, from 16 µs on.
pub const BUCKETS: usize = 20;

/// The upper bound of a bucket; the last has none.
pub fn bucket_bound(bucket: usize) -> Duration {
    Duration::from_micros(16 << bucket.min(63 - 4))
}

/// Times, in buckets.
#[derive(Debug, Default)]
pub(crate) struct Times {
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

impl Times {
    pub(crate) fn record(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = (64 - (us >> 4).leading_zeros()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    fn snapshot(&self) -> TimesSnapshot {
        TimesSnapshot {
            buckets: std::array::from_fn(|bucket| self.buckets[bucket].load(Ordering::Relaxed)),
            sum_us: self.sum_us.load(Ordering::Relaxed),
        }
    }
}

/// Times, in buckets, at some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimesSnapshot {
    /// How many were in each bucket.
    pub buckets: [u64; BUCKETS],
    /// All together, in microseconds.
    pub sum_us: u64,
}

impl TimesSnapshot {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The upper bound of the bucket in which the share `q` (0 to 1) of them ends.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let count = self.count();
        let mut left = (count as f64 * q).ceil();
        if count == 0 {
            return None;
        }
        for (bucket, n) in self.buckets.iter().enumerate() {
            left -= *n as f64;
            if left <= 0.0 {
                return Some(bucket_bound(bucket));
            }
        }
        Some(bucket_bound(BUCKETS - 1))
    }
}

const COUNTERS: usize = Counter::ALL.len();

/// The counters of one kind, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct KindStats {
    counters: [AtomicU64; COUNTERS],
    pub(crate) loads: Times,
    pub(crate) lookups: Times,
}

impl KindStats {
    #[inline]
    pub(crate) fn count(&self, counter: Counter) {
        self.counters[counter as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> KindSnapshot {
        KindSnapshot {
            counters: std::array::from_fn(|n| self.counters[n].load(Ordering::Relaxed)),
            loads: self.loads.snapshot(),
            lookups: self.lookups.snapshot(),
        }
    }
}

/// What happened to one kind up to some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KindSnapshot {
    counters: [u64; COUNTERS],
    /// How long loads took.
    pub loads: TimesSnapshot,
    /// How long questions to the shared tier took.
    pub lookups: TimesSnapshot,
}

impl KindSnapshot {
    /// How often something happened.
    pub fn get(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }

    /// Answers, whatever they came from.
    pub fn answers(&self) -> u64 {
        use Counter::{
            Awaited, Coalesced, MemoryHit, MemoryStale, Miss, SharedHit, SharedStale, StaleOnError,
            Unverified,
        };
        let all = [
            MemoryHit,
            MemoryStale,
            SharedHit,
            SharedStale,
            Coalesced,
            Awaited,
            Miss,
            StaleOnError,
            Unverified,
        ];
        all.iter().map(|counter| self.get(*counter)).sum()
    }

    /// The share of answers for which the source was not asked while the reader waited, 0 to 1.
    pub fn hit_ratio(&self) -> Option<f64> {
        let answers = self.answers();
        let misses = self.get(Counter::Miss);
        (answers > 0).then(|| (answers - misses) as f64 / answers as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_buckets_that_double() {
        let times = Times::default();
        for us in [0, 15, 16, 31, 32, 1_000_000, u64::MAX / 2] {
            times.record(Duration::from_micros(us));
        }
        let seen = times.snapshot();
        assert_eq!(
            (seen.buckets[0], seen.buckets[1], seen.buckets[2]),
            (2, 2, 1)
        );
        assert_eq!(seen.buckets[BUCKETS - 1], 1);
        assert_eq!(seen.count(), 7);
        assert_eq!(seen.quantile(0.5), Some(Duration::from_micros(32)));
        assert_eq!(TimesSnapshot::default().quantile(0.5), None);
    }
}
