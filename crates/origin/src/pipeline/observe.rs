//! Watching a request until its last byte is handed to the connection, or its client leaves.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::MatchedPath;
use axum::response::Response;
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use pitchey_api::RequestId;
use pitchey_runtime::{Clock as _, Monotonic, SystemRuntime};
use pitchey_telemetry::{HttpMetrics, UNMATCHED_ROUTE};

use super::access_log::{self, Entry};

/// The status in logs and figures of a request whose client left before the answer. No client ever
/// sees it (nginx has the convention).
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Which route a request is for.
enum Route {
    Known(&'static str),
    Matched(Option<MatchedPath>),
}

/// A request that is being answered. Dropping it says that the request is over.
pub(super) struct Observation {
    runtime: SystemRuntime,
    metrics: Arc<HttpMetrics>,
    method: Method,
    path: String,
    route: Route,
    id: RequestId,
    started: Monotonic,
    status: Option<StatusCode>,
    bytes: u64,
    complete: bool,
}

impl Observation {
    pub(super) fn start(
        runtime: SystemRuntime,
        metrics: Arc<HttpMetrics>,
        method: Method,
        path: String,
        route: Option<MatchedPath>,
        id: RequestId,
    ) -> Self {
        metrics.started();
        Self {
            started: runtime.now(),
            runtime,
            metrics,
            method,
            path,
            route: Route::Matched(route),
            id,
            status: None,
            bytes: 0,
            complete: false,
        }
    }

    /// The route of a request that no router has seen, and when it came.
    pub(super) fn on(mut self, route: &'static str, started: Monotonic) -> Self {
        (self.route, self.started) = (Route::Known(route), started);
        self
    }

    /// The time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.runtime.now() - self.started
    }

    /// The answer is there; what is left is to send its body, and that is watched, too.
    pub(super) fn answered(mut self, response: Response) -> Response {
        self.status = Some(response.status());
        // The connection sends no body for these, and does not ask for it.
        self.complete = self.method == Method::HEAD
            || matches!(
                response.status(),
                StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT
            );
        response.map(|body| {
            Body::new(ObservedBody {
                body,
                observation: self,
            })
        })
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let duration = self.elapsed();
        let status = self
            .status
            .map_or(CLIENT_CLOSED_REQUEST, |status| status.as_u16());
        let route = match &self.route {
            Route::Known(route) => route,
            Route::Matched(Some(route)) => route.as_str(),
            Route::Matched(None) => UNMATCHED_ROUTE,
        };
        self.metrics
            .finished(self.method.as_str(), route, status, duration);
        access_log::write(&Entry {
            method: self.method.as_str(),
            route,
            path: &self.path,
            status,
            duration,
            bytes: self.bytes,
            complete: self.complete,
            request_id: &self.id.0,
        });
    }
}

/// A body that counts its bytes.
struct ObservedBody {
    body: Body,
    observation: Observation,
}

impl HttpBody for ObservedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.observation.bytes += data.len() as u64;
        }
        if matches!(polled, Poll::Ready(None)) {
            self.observation.complete = true;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ObservedBody {
    fn drop(&mut self) {
        // The connection need not poll for an end that it knows of.
        self.observation.complete |= self.body.is_end_stream();
    }
}
