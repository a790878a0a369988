//! Why an operator is not answered, as a problem document (RFC 9457).

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Method, Response, StatusCode};
use serde_json::json;

use super::sign::SCHEME;
use super::{MAX_BODY, WINDOW_MS};
use crate::body::Body;
use crate::platform::Platform;

/// What is wrong with a request of an operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such door, or no secret that would open it.
    #[error("There is nothing here.")]
    NotHere,
    /// The door takes another method.
    #[error("This takes {0}.")]
    Method(Method),
    /// The body is too large.
    #[error("The body has more than {MAX_BODY} bytes.")]
    TooLarge,
    /// The body did not come.
    #[error("The body did not come.")]
    Broken,
    /// There is no signature.
    #[error("The request is not signed.")]
    Unsigned,
    /// What is shown is none.
    #[error("The signature cannot be read: {0}.")]
    Malformed(&'static str),
    /// It was signed too long ago, or by another clock.
    #[error(
        "It was signed too long ago or too early: it is {now} ms here, and {WINDOW_MS} ms may lie between."
    )]
    Time {
        /// What the time is here.
        now: i64,
    },
    /// It was signed before the edge began, which does not know what was heard then.
    #[error("It was signed before this edge began, at {began} ms.")]
    Before {
        /// When that was.
        began: i64,
    },
    /// The signature is another one.
    #[error("The signature is not that of this request by this edge's secret.")]
    Signature,
    /// It was heard before.
    #[error("This very request was heard before.")]
    Replayed,
    /// Too much was heard lately to remember more.
    #[error("Too many signed requests were heard in the last two minutes.")]
    Busy,
    /// What is asked for cannot be meant: all that is wrong with it.
    #[error("The request cannot be meant so.")]
    Wrong(Vec<String>),
}

impl Refused {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotHere => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken | Self::Wrong(_) => StatusCode::BAD_REQUEST,
            Self::Unsigned
            | Self::Malformed(_)
            | Self::Time { .. }
            | Self::Before { .. }
            | Self::Signature => StatusCode::UNAUTHORIZED,
            Self::Replayed => StatusCode::CONFLICT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The answer.
    pub fn answer<P: Platform>(&self) -> Response<Body<P>> {
        let errors = match self {
            Self::Wrong(errors) => &errors[..],
            _ => &[],
        };
        let mut response = problem(self.status(), &self.to_string(), errors);
        let headers = response.headers_mut();
        match self {
            Self::Method(takes) => {
                if let Ok(takes) = HeaderValue::from_str(takes.as_str()) {
                    headers.insert(ALLOW, takes);
                }
            }
            Self::Busy => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
            }
            _ if self.status() == StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(SCHEME));
            }
            _ => {}
        }
        response
    }
}

/// A problem document, with each thing that is wrong.
pub(super) fn problem<P: Platform>(
    status: StatusCode,
    detail: &str,
    errors: &[String],
) -> Response<Body<P>> {
    let mut document = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": detail,
    });
    if !errors.is_empty() {
        document["errors"] = json!(errors);
    }
    let text = document.to_string();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/problem+json");
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    *response.body_mut() = Body::from(Bytes::from(text));
    response
}
