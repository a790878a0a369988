//! The `limits` section.

use pitchey_api::LimitSettings;
use pitchey_resilience::limit::{Limit, Unit};
use serde::{Deserialize, Serialize};

/// How often each class of routes may be asked by one client. Each is `"off"`, or a burst and the
/// rate at which it comes back: `"60 then 2/s"`, `"10 then 10/min"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// What is cheap, or cached in front: lists, details, profiles.
    pub read: Limit,
    /// Full-text search.
    pub search: Limit,
    /// What changes something.
    pub write: Limit,
    /// Where passwords are checked or hashed, for each client.
    pub auth: Limit,
    /// Where passwords are checked, for each account and client, whether the account exists or not.
    pub account: Limit,
    /// The same, for each account from all clients together.
    pub account_total: Limit,
    /// Beacons.
    pub beacon: Limit,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            read: Limit::OFF,
            search: Limit::new(200, 20, Unit::Second),
            write: Limit::new(60, 2, Unit::Second),
            auth: Limit::new(10, 10, Unit::Minute),
            account: Limit::new(10, 2, Unit::Minute),
            account_total: Limit::new(100, 20, Unit::Minute),
            beacon: Limit::new(100, 10, Unit::Second),
        }
    }
}

impl LimitsConfig {
    /// The limits as the API takes them.
    pub fn settings(&self) -> LimitSettings {
        LimitSettings {
            read: self.read.quota(),
            search: self.search.quota(),
            write: self.write.quota(),
            auth: self.auth.quota(),
            account: self.account.quota(),
            account_total: self.account_total.quota(),
            beacon: self.beacon.quota(),
        }
    }
}
