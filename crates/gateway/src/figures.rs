//! What a scraper reads of the gateway: `GET /metrics`, on a listener of its own.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use metrics::Histogram;
use pitchey_edge::figures::Answered;
use pitchey_edge::{Body, Platform as _, Store as _, refusal};
use pitchey_runtime::{Clock as _, SystemRuntime, Timer as _};
use pitchey_telemetry::{Build, Metrics, UPKEEP_INTERVAL, names};
use pitchey_tiers::{record_kinds, record_memory, record_node};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::HttpConfig;
use crate::health::Health;
use crate::live::Live;
use crate::native::Native;
use crate::serve::Mode;
use crate::server::{self, Answers, Peer};

/// A few scrapers come every few seconds.
const MAX_SCRAPERS: usize = 16;

/// The content type of Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Durations by class, what the cache said, and status. Each handle is made when it is first needed, and then
/// costs no look-up.
pub(crate) struct Durations(Vec<OnceLock<Histogram>>);

impl Durations {
    fn new() -> Self {
        Self((0..Answered::COUNT).map(|_| OnceLock::new()).collect())
    }

    /// An answer is there.
    pub(crate) fn count(&self, answered: Answered, took: Duration) {
        let duration = self.0[answered.index()].get_or_init(|| {
            let [class, cache, status] = answered.labels();
            let labels = [("class", class), ("cache", cache), ("status", status)];
            metrics::histogram!(names::EDGE_ANSWER_DURATION, &labels)
        });
        duration.record(took.as_secs_f64());
    }
}

/// What is looked up when a scraper asks.
#[derive(Clone)]
pub(crate) struct Figures {
    pub(crate) metrics: Metrics,
    pub(crate) mode: Mode,
    pub(crate) health: Option<Health>,
    pub(crate) live: Option<Live>,
    pub(crate) runtime: SystemRuntime,
}

/// Sets the recorder of this process up, and what records durations in it.
pub(crate) fn install() -> anyhow::Result<(Metrics, Durations)> {
    let metrics = Metrics::install(Build {
        name: "gateway",
        version: env!("CARGO_PKG_VERSION"),
    })?;
    Ok((metrics, Durations::new()))
}

impl Figures {
    /// Serves scrapers until dropped: one may look on until the end.
    pub(crate) async fn serve(self, listener: TcpListener, config: HttpConfig) {
        let config = HttpConfig {
            max_connections: MAX_SCRAPERS,
            ..config
        };
        let (metrics, runtime) = (self.metrics.clone(), self.runtime);
        let upkeep = async {
            loop {
                runtime.sleep(UPKEEP_INTERVAL).await;
                metrics.upkeep();
            }
        };
        let serving = server::run(
            listener,
            None,
            self,
            &config,
            runtime,
            CancellationToken::new(),
        );
        tokio::join!(serving, upkeep);
    }

    fn record(&self) {
        match &self.mode {
            Mode::Proxy(proxy) => record_memory(proxy.platform().store().size(), proxy.in_flight()),
            Mode::Pitchey(site) => {
                let cache = site.answers();
                record_kinds(cache.stats());
                record_memory(cache.size(), cache.in_flight());
                record_node(&site.node().status(self.runtime.now()));
            }
        }
        if let Some(health) = &self.health {
            for (name, is_up) in health.known() {
                metrics::gauge!("dependency_up", "name" => name.to_owned())
                    .set(f64::from(u8::from(is_up)));
            }
        }
        if let Some(live) = &self.live {
            metrics::gauge!("edge_live_connections").set(live.connections() as f64);
        }
    }
}

impl Answers<Native> for Figures {
    async fn answer(&self, request: Request<Incoming>, _: Peer) -> Response<Body<Native>> {
        if request.method() != Method::GET || request.uri().path() != "/metrics" {
            return refusal(
                StatusCode::NOT_FOUND,
                "There is GET /metrics, and nothing else.",
            );
        }
        self.record();
        let mut response = Response::new(Body::from(Bytes::from(self.metrics.render())));
        let text = HeaderValue::from_static(TEXT_FORMAT);
        response.headers_mut().insert(CONTENT_TYPE, text);
        response
    }
}
