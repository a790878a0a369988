//! `GET /metrics`, on a listener of its own.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header;
use pitchey_runtime::SystemRuntime;
use pitchey_telemetry::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::server::{self, Limits};

/// The content type of Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A few scrapers come every few seconds.
const LIMITS: Limits = Limits {
    listener: "metrics",
    max_connections: 16,
    header_timeout: Duration::from_secs(10),
    idle_timeout: Duration::from_mins(2),
    max_header_bytes: 16 * 1024,
    shutdown_timeout: Duration::from_secs(1),
};

/// The one route. `record` is called before every answer, to record what is only looked up.
pub fn router(metrics: Metrics, record: impl Fn() + Send + Sync + 'static) -> Router {
    let record = Arc::new(record);
    let render = async move || {
        record();
        let headers = [(header::CONTENT_TYPE, TEXT_FORMAT)];
        (headers, metrics.render()).into_response()
    };
    Router::new().route("/metrics", get(render))
}

/// Serves until dropped: a scraper may look on until the end.
pub async fn run(listener: TcpListener, router: Router, runtime: SystemRuntime) {
    server::run(listener, router, LIMITS, runtime, CancellationToken::new()).await;
}
