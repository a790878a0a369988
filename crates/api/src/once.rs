//! Requests that are done once however often they come (draft-ietf-httpapi-idempotency-key-header-07).

use crate::page::{Version, strong_tag};
use crate::problem::Problem;
use crate::site::Site;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode};
use pitchey_store::market::{Created, Once, StoredAnswer};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// How long an answer is kept for those who ask again.
const KEPT: time::Duration = time::Duration::hours(24);

/// What makes a request done once, if the client gave a key. It is the same request if its route and the
/// bytes of its body are.
pub(crate) fn once<S, T>(
    site: &Site<S>,
    key: Option<String>,
    route: &str,
    body_hash: [u8; 32],
    answer: fn(&T) -> StoredAnswer,
) -> Option<Once<T>> {
    let request_hash = Sha256::new()
        .chain_update(body_hash)
        .chain_update(route)
        .finalize()
        .into();
    key.map(|key| Once {
        key,
        request_hash,
        expires_at: site.now() + KEPT,
        answer,
    })
}

/// The answer to something new: 201, where it is, and what it is.
pub(crate) fn created(location: String, version: i64, view: &impl Serialize) -> StoredAnswer {
    // By way of a value, as reads do it: the same bytes, and so the same tag.
    let value = serde_json::to_value(view).unwrap_or_default();
    let body = value.to_string().into_bytes();
    let etag = strong_tag(Version(version), &body);
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("location", location),
        ("etag", etag),
    ];
    StoredAnswer {
        status: StatusCode::CREATED.as_u16(),
        headers: headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        body,
    }
}

/// Sends what was done now, or before.
pub(crate) fn respond<T>(
    created: Created<T>,
    answer: fn(&T) -> StoredAnswer,
) -> Result<Response, Problem> {
    let (stored, replayed) = match created {
        Created::New(done) => (answer(&done), false),
        Created::Before(stored) => (stored, true),
    };
    let mut response = Response::new(Body::from(stored.body));
    *response.status_mut() =
        StatusCode::from_u16(stored.status).map_err(|_| Problem::internal())?;
    for (name, value) in stored.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    if replayed {
        let name = HeaderName::from_static("idempotency-replayed");
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static("true"));
    }
    Ok(response)
}
