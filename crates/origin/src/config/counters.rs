//! The `counters` section.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Rules;

/// Views, measurements and events of pages, which are written in batches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CountersConfig {
    /// How long an entry waits for others at most: what a kill may lose.
    pub max_delay_ms: u64,
    /// How many entries are written together, and are enough not to wait for more.
    pub batch: usize,
    /// Views kept at most; further ones are dropped.
    pub max_views: usize,
    /// Measurements kept at most.
    pub max_rum: usize,
    /// Events kept at most.
    pub max_events: usize,
    /// How long the writing of one batch may take.
    pub write_timeout_ms: u64,
    /// How long the end waits until everything is written.
    pub stop_timeout_ms: u64,
}

impl Default for CountersConfig {
    fn default() -> Self {
        Self {
            max_delay_ms: 1_000,
            batch: 1_000,
            max_views: 50_000,
            max_rum: 20_000,
            max_events: 20_000,
            write_timeout_ms: 5_000,
            stop_timeout_ms: 5_000,
        }
    }
}

impl CountersConfig {
    /// How long an entry waits for others.
    pub fn max_delay(&self) -> Duration {
        Duration::from_millis(self.max_delay_ms)
    }

    /// How long the writing of one batch may take.
    pub fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms)
    }

    /// How long the end waits until everything is written.
    pub fn stop_timeout(&self) -> Duration {
        Duration::from_millis(self.stop_timeout_ms)
    }

    pub(super) fn validate(&self, problems: &mut Vec<String>) {
        let mut rules = Rules::of("counters", problems);
        let mut range = |key, value, min, max| rules.range(key, value, min, max);
        range("max_delay_ms", self.max_delay_ms, 1, 1_000);
        range("batch", self.batch as u64, 1, 10_000);
        range("max_views", self.max_views as u64, 1, 1_000_000);
        range("max_rum", self.max_rum as u64, 1, 1_000_000);
        range("max_events", self.max_events as u64, 1, 1_000_000);
        range("write_timeout_ms", self.write_timeout_ms, 1, 60_000);
        range("stop_timeout_ms", self.stop_timeout_ms, 1, 60_000);
    }
}
