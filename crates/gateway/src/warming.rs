//! Paths that the gateway asks for on a timer, so that nobody waits for them.

use std::time::Duration;

use pitchey_edge::Client;
use pitchey_edge::desk::Warm;
use pitchey_runtime::{SystemRuntime, Timer as _};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ms};
use crate::pitchey::NativeSite;

/// The `warm` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WarmConfig {
    /// What is asked for, as browsers do: paths with their queries. Only in front of Pitchey.
    pub paths: Vec<Box<str>>,
    /// How long lies between two times.
    pub interval_ms: u64,
}

impl Default for WarmConfig {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            interval_ms: 15 * 60 * 1000,
        }
    }
}

impl WarmConfig {
    /// The most paths.
    const MOST: usize = 200;

    pub(crate) fn validate(&self, problems: &mut Vec<String>) {
        if self.paths.len() > Self::MOST {
            problems.push(format!("warm.paths: has more than {}", Self::MOST));
        }
        let wrong = self.paths.iter().filter(|path| !path.starts_with('/'));
        problems.extend(wrong.map(|path| format!("warm.paths: {path:?} does not begin with /")));
    }
}

/// Asks at once and then again and again, until `stop` is cancelled.
pub(crate) async fn run(
    config: Config,
    site: NativeSite,
    runtime: SystemRuntime,
    stop: CancellationToken,
) {
    let warm = Warm::new(config.warm.paths);
    let interval: Duration = ms(config.warm.interval_ms);
    let client = Client {
        address: None,
        trusted: false,
        secure: true,
    };
    let asking = async {
        loop {
            for one in site.warm(&warm, client).await {
                if !one.is_well() {
                    tracing::warn!(path = %one.path, status = one.status, "not warmed");
                }
            }
            runtime.sleep(interval).await;
        }
    };
    stop.run_until_cancelled(asking).await;
}
