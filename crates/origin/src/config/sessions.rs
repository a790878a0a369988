//! The `sessions` section.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Rules;

/// How long somebody stays signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionsConfig {
    /// How long a session lasts that is not used.
    pub idle_minutes: u64,
    /// How long a session lasts in any case.
    pub absolute_days: u64,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self {
            idle_minutes: 7 * 24 * 60,
            absolute_days: 30,
        }
    }
}

impl SessionsConfig {
    /// How long a session lasts that is not used.
    pub fn idle(&self) -> Duration {
        Duration::from_mins(self.idle_minutes)
    }

    /// How long a session lasts in any case.
    pub fn absolute(&self) -> Duration {
        Duration::from_hours(24 * self.absolute_days)
    }

    pub(super) fn validate(&self, problems: &mut Vec<String>) {
        let mut rules = Rules::of("sessions", problems);
        rules.range("idle_minutes", self.idle_minutes, 1, 365 * 24 * 60);
        let in_range = rules.range("absolute_days", self.absolute_days, 1, 365);
        if in_range && self.idle() > self.absolute() {
            rules.broken("idle_minutes", "is longer than sessions.absolute_days");
        }
    }
}
