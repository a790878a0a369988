//! Whom the gateway asks how they are, and what it knows of itself.

use http::{Method, Response, Uri};
use pitchey_edge::Body;
use pitchey_edge::health::{self, Asking, HEALTH, Known, Own, Status};
use pitchey_runtime::{Clock as _, SystemRuntime};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ms};
use crate::native::Native;
use crate::pitchey::NativeSite;
use crate::regions::Regional;

/// The health of Pitchey, as it is known here.
#[derive(Clone)]
pub(crate) struct Health {
    asking: health::Health<Native>,
    site: NativeSite,
    regional: Option<Regional>,
    interval: Duration,
    runtime: SystemRuntime,
}

impl Health {
    /// The health of what the configuration names.
    pub(crate) fn new(
        config: &Config,
        site: NativeSite,
        regional: Option<Regional>,
        runtime: SystemRuntime,
    ) -> anyhow::Result<Self> {
        let mut targets = vec![("origin", at(&config.origin.url, HEALTH)?)];
        if !config.hub.url.is_empty() {
            targets.push(("hub", at(&config.hub.url, "/healthz")?));
        }
        for target in &config.health.targets {
            targets.push((&target.name, target.url.parse()?));
        }
        let targets = targets.into_iter();
        let targets = targets.map(|(name, uri)| (name.to_owned(), Asking::Http(uri)));
        let platform = site.platform().clone();
        Ok(Self {
            asking: health::Health::new(platform, targets.collect(), ms(config.health.timeout_ms)),
            site,
            regional,
            interval: ms(config.health.interval_ms),
            runtime,
        })
    }

    /// Whether this is what is asked for.
    pub(crate) fn takes(method: &Method, path: &str) -> bool {
        health::Health::<Native>::takes(method, path)
    }

    /// What is known, at once.
    pub(crate) fn answer(&self, method: &Method) -> Response<Body<Native>> {
        self.asking.answer(method, || {
            let is_heard = Status::from(self.site.hearing().attached);
            Own {
                parts: vec![("redis", Known::now(is_heard, self.runtime.wall()))],
                regions: self.regional.as_ref().map(Regional::told),
            }
        })
    }

    /// Who was asked, and whether they were well.
    pub(crate) fn known(&self) -> impl Iterator<Item = (&str, bool)> {
        let known = self.asking.known();
        known.map(|(name, status)| (name, status == Status::Ok))
    }

    /// Asks everybody again and again, until `stop` is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let asking = self
            .asking
            .keep_asking(self.interval, &|name, status, was| {
                tracing::info!(target_name = name, ?status, ?was, "a probe tells news");
            });
        stop.run_until_cancelled(asking).await;
    }
}

fn at(url: &str, path: &str) -> anyhow::Result<Uri> {
    Ok([url.trim_end_matches('/'), path].concat().parse()?)
}
