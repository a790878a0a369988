//! The `duties` section.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Rules;

/// What is done to the database from time to time, by one origin of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DutiesConfig {
    /// How often partitions of the coming days and months are made.
    pub partitions_interval_ms: u64,
    /// How often what has expired is removed.
    pub clean_up_interval_ms: u64,
    /// How often the trending scores of what was viewed are renewed.
    pub scores_interval_ms: u64,
    /// How often the statistics of pitches are renewed.
    pub statistics_interval_ms: u64,
    /// How long one turn of any of them may take.
    pub timeout_ms: u64,
}

impl Default for DutiesConfig {
    fn default() -> Self {
        Self {
            partitions_interval_ms: 3_600_000,
            clean_up_interval_ms: 60_000,
            scores_interval_ms: 60_000,
            statistics_interval_ms: 600_000,
            timeout_ms: 300_000,
        }
    }
}

impl DutiesConfig {
    /// How long one turn may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub(super) fn validate(&self, problems: &mut Vec<String>) {
        const DAY_MS: u64 = 24 * 3_600_000;
        let mut rules = Rules::of("duties", problems);
        let mut range = |key, value| rules.range(key, value, 100, DAY_MS);
        range("partitions_interval_ms", self.partitions_interval_ms);
        range("clean_up_interval_ms", self.clean_up_interval_ms);
        range("scores_interval_ms", self.scores_interval_ms);
        range("statistics_interval_ms", self.statistics_interval_ms);
        rules.range("timeout_ms", self.timeout_ms, 100, 900_000);
    }
}
