//! What a scraper reads of the gateway: `GET /metrics`, on a listener of its own.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use metrics::Histogram;
use pitchey_api::RouteClass;
use pitchey_edge::{Body, Platform as _, Store as _, refusal};
use pitchey_http_cache::CACHE_STATUS;
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

/// What kind of request it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// One of Pitchey's, by the class that its limits have.
    Api(RouteClass),
    /// A connection that stays: `/ws` and `/sse`.
    Live,
    /// What the edge answers by itself.
    Own,
    /// One for any other site.
    Proxy,
}

impl Class {
    const ALL: [Self; 8] = [
        Self::Api(RouteClass::Read),
        Self::Api(RouteClass::Search),
        Self::Api(RouteClass::Write),
        Self::Api(RouteClass::Auth),
        Self::Api(RouteClass::Beacon),
        Self::Live,
        Self::Own,
        Self::Proxy,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Api(class) => class.name(),
            Self::Live => "live",
            Self::Own => "own",
            Self::Proxy => "proxy",
        }
    }
}

/// What a cache did; who says nothing is the last.
const CACHE: [&str; 6] = ["HIT", "MISS", "STALE", "REVALIDATED", "BYPASS", "none"];

const STATUS: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Durations by class, what the cache said, and status. Each handle is made when it is first needed, and then
/// costs no look-up.
pub(crate) struct Durations(Vec<OnceLock<Histogram>>);

impl Durations {
    fn new() -> Self {
        let count = Class::ALL.len() * CACHE.len() * STATUS.len();
        Self((0..count).map(|_| OnceLock::new()).collect())
    }

    /// An answer is there.
    pub(crate) fn answered(
        &self,
        class: Class,
        status: StatusCode,
        headers: &HeaderMap,
        took: Duration,
    ) {
        let class = place(&Class::ALL, class);
        let said = cache_said(headers);
        let cache = CACHE.iter().position(|word| *word == said);
        let cache = cache.unwrap_or(CACHE.len() - 1);
        let status = usize::from(status.as_u16() / 100).clamp(1, STATUS.len()) - 1;
        let at = (class * CACHE.len() + cache) * STATUS.len() + status;
        let duration = self.0[at].get_or_init(|| {
            let labels = [
                ("class", Class::ALL[class].name()),
                ("cache", CACHE[cache]),
                ("status", STATUS[status]),
            ];
            metrics::histogram!(names::EDGE_ANSWER_DURATION, &labels)
        });
        duration.record(took.as_secs_f64());
    }
}

/// What the cache did, in a word, by what it says of it (RFC 9211).
fn cache_said(headers: &HeaderMap) -> &'static str {
    // The last member is ours.
    let mut lines = headers.get_all(CACHE_STATUS).iter();
    let line = lines.next_back().and_then(|line| line.to_str().ok());
    let Some(ours) = line.and_then(|list| list.rsplit(',').next()) else {
        return "none";
    };
    let mut parameters = ours.split(';').skip(1).map(str::trim);
    let has = |wanted: &str| parameters.clone().any(|one| one.starts_with(wanted));
    match parameters.clone().find_map(|one| one.strip_prefix("fwd=")) {
        Some("stale") if has("hit") => "STALE",
        Some("stale") if has("fwd-status=304") => "REVALIDATED",
        Some("bypass" | "method" | "request") => "BYPASS",
        Some(_) => "MISS",
        None if has("ttl=-") => "STALE",
        None if parameters.any(|one| one == "hit") => "HIT",
        None => "none",
    }
}

fn place(all: &[Class], class: Class) -> usize {
    all.iter()
        .position(|one| *one == class)
        .unwrap_or(all.len() - 1)
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
                metrics::gauge!("dependency_up", "name" => name.to_owned()).set(f64::from(u8::from(is_up)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cache_did_is_a_word() {
        for (lines, word) in [
            (&["pitchey-edge; hit; ttl=12; detail=memory"][..], "HIT"),
            (&["pitchey-edge; hit; ttl=-3"], "STALE"),
            (&["pitchey-edge; hit; fwd=stale"], "STALE"),
            (
                &["pitchey-edge; fwd=stale; fwd-status=304; stored"],
                "REVALIDATED",
            ),
            (&["pitchey-edge; fwd=stale; fwd-status=200"], "MISS"),
            (&["origin; hit, pitchey-edge; fwd=uri-miss; stored"], "MISS"),
            (&["origin; hit", "pitchey-edge; fwd=method"], "BYPASS"),
            (&["pitchey-edge; detail=hit"], "none"),
            (&[], "none"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CACHE_STATUS, HeaderValue::from_static(line));
            }
            assert_eq!(cache_said(&headers), word, "{lines:?}");
        }
    }
}
