//! The figures of an HTTP server, with a bounded number of label values.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use metrics::{Gauge, Histogram};

use crate::names;

/// The `route` of a request that no route matched. Its path is never a label: anyone could make
/// up as many as they like.
pub const UNMATCHED_ROUTE: &str = "unmatched";

/// A server has a few dozen routes. Should a caller pass paths by mistake, this bounds the damage.
const MAX_ROUTES: usize = 512;

/// The methods that get a label value of their own; others share [`OTHER_METHOD`].
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The `method` of everything else (the convention of OpenTelemetry).
const OTHER_METHOD: &str = "_OTHER";

/// Records requests. The handles to the recorder's histograms are kept, because finding one by its
/// labels would allocate for every request.
pub struct HttpMetrics {
    active: Gauge,
    routes: RwLock<HashMap<String, Vec<Series>>>,
}

struct Series {
    method: &'static str,
    status: u16,
    duration: Histogram,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpMetrics {
    /// Figures in the recorder that is installed now; install it first.
    pub fn new() -> Self {
        Self {
            active: metrics::gauge!(names::HTTP_ACTIVE_REQUESTS),
            routes: RwLock::default(),
        }
    }

    /// A request has begun. Every call is to be followed by one of [`HttpMetrics::finished`].
    pub fn started(&self) {
        self.active.increment(1.0);
    }

    /// A request to `route` (a template, or [`UNMATCHED_ROUTE`]) is over.
    pub fn finished(&self, method: &str, route: &str, status: u16, duration: Duration) {
        self.active.decrement(1.0);
        let method = METHODS
            .into_iter()
            .find(|known| *known == method)
            .unwrap_or(OTHER_METHOD);
        let seconds = duration.as_secs_f64();
        let find = |all: &[Series]| {
            let series = all
                .iter()
                .find(|series| series.method == method && series.status == status);
            series.map(|series| series.duration.record(seconds))
        };

        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if routes.get(route).and_then(|all| find(all)).is_some() {
            return;
        }
        drop(routes);

        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let route = if routes.len() < MAX_ROUTES || routes.contains_key(route) {
            route
        } else {
            UNMATCHED_ROUTE
        };
        let all = routes.entry(route.to_owned()).or_default();
        // Another thread may have been quicker.
        if find(all).is_none() {
            let duration = metrics::histogram!(
                names::HTTP_REQUEST_DURATION,
                "method" => method,
                "route" => route.to_owned(),
                "status" => status.to_string()
            );
            duration.record(seconds);
            all.push(Series {
                method,
                status,
                duration,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    fn recorded(record: impl FnOnce(&HttpMetrics)) -> String {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || record(&HttpMetrics::new()));
        handle.render()
    }

    #[test]
    fn requests_are_counted_by_method_route_and_status() {
        let text = recorded(|http| {
            for status in [200, 200, 304] {
                http.started();
                http.finished("GET", "/api/pitches/{id}", status, Duration::from_millis(2));
            }
            http.started();
        });
        for line in [
            r#"http_server_request_duration_seconds_count{method="GET",route="/api/pitches/{id}",status="200"} 2"#,
            r#"http_server_request_duration_seconds_count{method="GET",route="/api/pitches/{id}",status="304"} 1"#,
            "http_server_active_requests 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn made_up_methods_share_one_label_value() {
        let text = recorded(|http| {
            for method in ["BREW", "get", "PROPFIND"] {
                http.started();
                http.finished(method, UNMATCHED_ROUTE, 405, Duration::ZERO);
            }
        });
        let line = r#"http_server_request_duration_seconds_count{method="_OTHER",route="unmatched",status="405"} 3"#;
        assert!(text.lines().any(|found| found == line), "{text}");
    }

    #[test]
    fn the_number_of_routes_is_bounded() {
        let text = recorded(|http| {
            for number in 0..2 * MAX_ROUTES {
                http.started();
                http.finished("GET", &format!("/{number}"), 200, Duration::ZERO);
            }
        });
        let series = text.lines().filter(|line| line.contains("_count{")).count();
        // The routes and the one that the rest share.
        assert_eq!(series, MAX_ROUTES + 1);
    }
}
