//! The `overload` section.

use std::num::NonZeroUsize;
use std::time::Duration;

use pitchey_resilience::ShedConfig;
use serde::{Deserialize, Serialize};

use super::Rules;
use crate::overload::OverloadSettings;

/// How many requests are worked on at once, how many wait, and how long. Health checks and what
/// waits for a password to be hashed are not among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OverloadConfig {
    /// Requests worked on at once, at most.
    pub max_in_flight: usize,
    /// The limit shrinks to this when requests take longer than they usually do. Below the
    /// connections of the pool some of those would idle; equal to the maximum the limit is fixed.
    pub min_in_flight: usize,
    /// Requests that may wait to be worked on; then the oldest of the least urgent is sent away.
    pub max_queued: usize,
    /// How long a request may wait in an overload.
    pub target_ms: u64,
    /// How long it may wait otherwise, and how long a queue stands until that is an overload.
    pub interval_ms: u64,
    /// When those who are sent away are told to come again.
    pub retry_after_ms: u64,
}

impl Default for OverloadConfig {
    fn default() -> Self {
        Self {
            max_in_flight: 64,
            min_in_flight: 24,
            max_queued: 256,
            target_ms: 5,
            interval_ms: 100,
            retry_after_ms: 1_000,
        }
    }
}

impl OverloadConfig {
    /// The settings of the front door; what cannot be has been refused by then.
    pub fn settings(&self) -> OverloadSettings {
        let positive = |number| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
        OverloadSettings {
            shed: ShedConfig {
                limit: positive(self.max_in_flight),
                queue: self.max_queued,
                target: Duration::from_millis(self.target_ms),
                interval: Duration::from_millis(self.interval_ms),
                retry_after: Duration::from_millis(self.retry_after_ms),
            },
            least: positive(self.min_in_flight.min(self.max_in_flight)),
        }
    }

    pub(super) fn validate(&self, problems: &mut Vec<String>) {
        let mut rules = Rules::of("overload", problems);
        let most = self.max_in_flight as u64;
        if rules.range("max_in_flight", most, 1, 100_000) {
            rules.range("min_in_flight", self.min_in_flight as u64, 1, most);
        }
        rules.range("max_queued", self.max_queued as u64, 0, 100_000);
        rules.range("target_ms", self.target_ms, 1, 10_000);
        rules.range("interval_ms", self.interval_ms, self.target_ms, 60_000);
        rules.range("retry_after_ms", self.retry_after_ms, 1, 3_600_000);
    }
}
