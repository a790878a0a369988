//! Rate limits that all nodes share.

use std::time::Duration;

use pitchey_cache::SharedError;
use pitchey_resilience::{Quota, Verdict};
use pitchey_runtime::Runtime;
use pitchey_tier_scripts::GCRA;

use crate::link::RedisLink;
use crate::scripts::call;

/// One quota for many keys, counted in Redis by its clock: what [`pitchey_resilience::KeyedRateLimiter`]
/// is for one process.
///
/// When Redis gives no answer there is no verdict: whoever asks has a limiter of its own to fall back on.
#[derive(Debug)]
pub struct RedisRateLimiter<R> {
    link: RedisLink<R>,
    name: Box<str>,
    quota: Quota,
}

impl<R: Runtime> RedisRateLimiter<R> {
    /// A limiter by this name: those of the same name, on whatever node, count together and should have
    /// the same quota.
    pub fn new(link: RedisLink<R>, name: &str, quota: Quota) -> Self {
        Self {
            link,
            name: name.into(),
            quota,
        }
    }

    /// The quota that every key has.
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// Counts one call of `key` if the quota allows it. What is refused is not counted.
    pub async fn check(&self, key: &str) -> Result<Verdict, SharedError> {
        let interval = micros(self.quota.interval());
        let window = interval
            .saturating_mul(u64::from(self.quota.burst()))
            .min(MOST);
        let key = format!("{}r:{}:{key}", self.link.config().prefix, self.name);
        let mut call = call(&GCRA);
        call.arg(key.as_bytes()).arg(interval).arg(window);
        let (allowed, owed, retry): (bool, u64, u64) = self.link.run_script(&GCRA, &call).await?;
        let remaining = window
            .saturating_sub(owed)
            .checked_div(interval)
            .and_then(|fitting| u32::try_from(fitting).ok())
            .unwrap_or(u32::MAX);
        Ok(Verdict {
            allowed,
            limit: self.quota.burst(),
            remaining: remaining.min(self.quota.burst()),
            reset_after: Duration::from_micros(owed),
            retry_after: Duration::from_micros(retry),
        })
    }
}

/// About thirty years: beside the time of day, numbers in scripts still hold it exactly.
const MOST: u64 = 1 << 50;

/// Rounded up: never more than the quota allows.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1000))
        .unwrap_or(MOST)
        .min(MOST)
}
