//! The answer to a request that is sent away. It is the same for everyone but for the request's id,
//! so its head and the text around the id are made once.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use pitchey_api::{Problem, RequestId};

/// Stands for the id. JSON escapes none of it, and no text of a problem has it.
const PLACE: &str = "-the-id-of-the-request-";

pub(super) struct Refusal {
    status: StatusCode,
    headers: HeaderMap,
    before_id: Bytes,
    after_id: Bytes,
}

impl Refusal {
    /// The refusal that asks to come again after this time.
    pub(super) fn after(retry_after: Duration) -> Self {
        let place = RequestId(PLACE.to_owned());
        let (status, headers, body) = Problem::overloaded(retry_after).into_parts_for(Some(&place));
        let found = body
            .windows(PLACE.len())
            .position(|part| part == PLACE.as_bytes());
        let at = found.expect("a problem names the request that it is about");
        let body = Bytes::from(body);
        Self {
            status,
            headers,
            before_id: body.slice(..at),
            after_id: body.slice(at + PLACE.len()..),
        }
    }

    pub(super) fn answer(&self, request: &RequestId) -> Response {
        let id = request.0.as_bytes();
        let length = self.before_id.len() + id.len() + self.after_id.len();
        let mut body = BytesMut::with_capacity(length);
        // The pipeline takes no id from a client, and makes none, that JSON would escape.
        for part in [&*self.before_id, id, &*self.after_id] {
            body.put_slice(part);
        }
        let mut response = Response::new(Body::from(body.freeze()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn text(response: Response) -> (StatusCode, HeaderMap, String) {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let body = String::from_utf8(body.into()).expect("text");
        (parts.status, parts.headers, body)
    }

    #[tokio::test]
    async fn it_is_the_problem_that_would_be_written_out_for_this_request() {
        let after = Duration::from_secs(3);
        for id in ["a", "0198a6e5-7c1f-7a3b-8d2e-1234567890ab"] {
            let id = RequestId(id.to_owned());
            let quick = text(Refusal::after(after).answer(&id)).await;
            let written = Problem::overloaded(after).into_response_for(Some(&id));
            assert_eq!(quick, text(written).await);
            assert_eq!(quick.1["retry-after"], "3");
        }
    }
}
