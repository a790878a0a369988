//! Limits that all origins share: counted in Redis, behind the breaker that the cache has in front of it.

use pitchey_api::ports::{Boxed, SharedLimits};
use pitchey_cache::{Backplane, SharedError};
use pitchey_resilience::{Quota, Verdict};
use pitchey_runtime::{Background, Clock as _, SystemRuntime};
use pitchey_tiers::{RedisLink, RedisRateLimiter, RedisShared};

/// How often an origin has counted by itself, as Redis did not.
const ALONE: &str = "rate_limits_counted_alone_total";

type RedisBackplane = Backplane<RedisShared<SystemRuntime>, Background>;

/// [`SharedLimits`] over the connection of the cache. A hang that either has met spares the other its
/// timeouts.
pub(crate) struct RedisLimits {
    link: RedisLink<SystemRuntime>,
    backplane: RedisBackplane,
    clock: Background,
}

impl RedisLimits {
    /// Counts over `link`, unless the breaker of `backplane` is open; `clock` is that of the backplane.
    pub(crate) fn new(
        link: RedisLink<SystemRuntime>,
        backplane: RedisBackplane,
        clock: Background,
    ) -> Self {
        Self {
            link,
            backplane,
            clock,
        }
    }

    async fn ask(&self, name: &'static str, quota: Quota, key: &str) -> Option<Verdict> {
        let call = self.backplane.breaker().admit(self.clock.now()).ok()?;
        let limiter = RedisRateLimiter::new(self.link.clone(), name, quota);
        let verdict = limiter.check(key).await;
        match &verdict {
            Ok(_) | Err(SharedError::Refused(_)) => call.succeeded(self.clock.now()),
            Err(_) => call.failed(self.clock.now()),
        }
        verdict
            .inspect_err(|error| tracing::debug!(%error, name, "no shared verdict"))
            .ok()
    }
}

impl SharedLimits for RedisLimits {
    fn count<'a>(
        &'a self,
        name: &'static str,
        quota: Quota,
        key: &'a str,
    ) -> Boxed<'a, Option<Verdict>> {
        Box::pin(async move {
            let verdict = self.ask(name, quota, key).await;
            if verdict.is_none() {
                metrics::counter!(ALONE, "class" => name).increment(1);
            }
            verdict
        })
    }
}
