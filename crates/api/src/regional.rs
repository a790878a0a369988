//! The public reads where they are answered from a database near by: by an edge, beside the origin.
//!
//! The same router with the same handlers, over another store, without a cache in front: what keeps the
//! answers says which position they must have seen, and learns what they are made of.

use crate::ApiState;
use crate::cached::{ReadAfter, Tags};
use crate::cursor::CursorKey;
use crate::health::Readiness;
use crate::problem::RequestId;
use crate::routes::kept_router;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use pitchey_model::WalPosition;
use pitchey_runtime::Clock;
use pitchey_store::Store;
use tower::ServiceExt as _;

/// The largest answer.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// The public reads over a store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RegionalReads(Router);

/// An answer of a handler.
#[derive(Debug)]
pub struct RegionalAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, as the origin sends them.
    pub headers: HeaderMap,
    /// Its body, coded.
    pub body: Bytes,
    /// What it is made of, beside what its address says.
    pub tags: Vec<Box<str>>,
}

impl RegionalReads {
    /// Over this store. The key is the origins' own: a page goes on wherever the one before came from.
    pub fn new<S: Store>(
        store: S,
        clock: impl Clock + Send + Sync + 'static,
        cursors: CursorKey,
    ) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let state = ApiState::new(store, clock, cursors, Readiness::default(), version);
        Self(kept_router(state))
    }

    /// The answer to a read, in this coding, that has seen everything up to `after`; `None` if there is no
    /// whole one.
    pub async fn answer(
        &self,
        target: &Uri,
        coding: &'static str,
        id: &str,
        after: WalPosition,
    ) -> Option<RegionalAnswer> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = target.path_and_query()?.as_str().parse().ok()?;
        let coding = HeaderValue::from_static(coding);
        request.headers_mut().insert(ACCEPT_ENCODING, coding);
        request.extensions_mut().insert(ReadAfter(after));
        let id = RequestId(id.to_owned());
        request.extensions_mut().insert(id);
        let Ok(response) = self.0.clone().oneshot(request).await;
        let (mut parts, body) = response.into_parts();
        let tags = parts.extensions.remove::<Tags>().unwrap_or_default().0;
        Some(RegionalAnswer {
            status: parts.status,
            headers: parts.headers,
            body: axum::body::to_bytes(body, MAX_BODY).await.ok()?,
            tags: tags.iter().map(|tag| tag.as_str().into()).collect(),
        })
    }
}
