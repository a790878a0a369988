//! The size of a request's body.

use axum::body::Body;
use http::{Request, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use pitchey_api::Problem;
use pitchey_api::problem::Kind;

/// Refuses a request that announces too large a body, and limits the body of every other: reading
/// on then fails with `http_body_util::LengthLimitError`, which axum's extractors answer with 413.
pub(super) fn apply(request: Request<Body>, max_bytes: usize) -> Result<Request<Body>, Problem> {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    // hyper has refused lengths that are no numbers.
    if announced.is_some_and(|bytes| bytes > max_bytes as u64) {
        return Err(Problem::content_too_large(max_bytes));
    }
    if http_body::Body::is_end_stream(request.body()) {
        return Ok(request);
    }
    Ok(request.map(|body| Body::new(Limited::new(body, max_bytes))))
}

/// Reads what is to come of a body, which [`apply`] has limited.
pub(super) async fn read(
    request: Request<Body>,
    max_bytes: usize,
) -> Result<Request<Body>, Problem> {
    if http_body::Body::is_end_stream(request.body()) {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|error| {
        let error = error.into_inner();
        if error.is::<LengthLimitError>() {
            Problem::content_too_large(max_bytes)
        } else {
            Problem::new(Kind::MalformedRequest, "the body could not be read")
        }
    })?;
    Ok(Request::from_parts(parts, Body::from(body.to_bytes())))
}
