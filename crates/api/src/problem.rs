//! Problem documents (RFC 9457): every error that leaves the API.
//!
//! A handler returns a [`Problem`]; the outermost layer writes it out, so that each carries the id of its
//! request. What went wrong inside is logged, never sent.

use crate::ports::Busy;
use crate::protect::protect;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use pitchey_model::decide::{Conflict, Refusal};
use pitchey_resilience::BreakerOpen;
use pitchey_store::StoreError;
use serde::Serialize;
use std::time::Duration;
use utoipa::{IntoResponses, ToSchema};

/// The id of a request: the shell that receives it puts this into the request's extensions.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $slug:literal, $status:ident, $title:literal, $help:literal;)*) => {
        /// What kind of problem it is: the stable part, which clients decide on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind {
            $(#[doc = $help] $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The last segment of its URI, `/problems/<slug>`.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug),* }
            }

            /// Its status code.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),* }
            }

            /// What it is called.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }

            /// What a client can do about it.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$name => $help),* }
            }
        }
    };
}

kinds! {
    MalformedRequest = "malformed-request", BAD_REQUEST, "Malformed request",
        "The request cannot be read. Mend what `detail` names and send it again.";
    InvalidParameter = "invalid-parameter", BAD_REQUEST, "Invalid parameter",
        "Parameters in the path or the query are unknown, repeated or out of range. `errors` names each.";
    InvalidCursor = "invalid-cursor", BAD_REQUEST, "Invalid cursor",
        "The cursor was not given out by this list with these filters. Begin again without one.";
    InvalidContent = "invalid-content", UNPROCESSABLE_ENTITY, "Invalid content",
        "The body can be read, but what it says cannot be taken. `errors` names everything that is wrong with it.";
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "Unsupported media type",
        "This address takes `application/json`, and `application/merge-patch+json` for changes, in UTF-8 and without a content coding.";
    SignInRequired = "sign-in-required", UNAUTHORIZED, "Sign-in required",
        "This needs an account. Sign in and send the request again.";
    WrongCredentials = "wrong-credentials", UNAUTHORIZED, "Wrong credentials",
        "There is no account with this address and this password.";
    AccountLocked = "account-locked", FORBIDDEN, "Account locked",
        "The account is locked. Those who run the site can tell why.";
    Forbidden = "forbidden", FORBIDDEN, "Forbidden",
        "This account may not do that.";
    CrossOrigin = "cross-origin", FORBIDDEN, "Cross-origin request",
        "A page of another site has sent this, or a browser too old to say where it comes from. The latter sends `csrf_token` of `/api/auth/session` as `X-CSRF-Token`.";
    NotFound = "not-found", NOT_FOUND, "Not found",
        "There is nothing at this address, or nothing that you may know of.";
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "Method not allowed",
        "This address has other methods, which the `Allow` header lists.";
    Conflict = "conflict", CONFLICT, "Conflict",
        "The state of the thing, or something that is there already, does not allow it. Read it again.";
    KeyInFlight = "idempotency-key-in-flight", CONFLICT, "Idempotency key in flight",
        "A request with this `Idempotency-Key` is being worked on. Send it again after `Retry-After` seconds for its answer.";
    KeyReused = "idempotency-key-reused", UNPROCESSABLE_ENTITY, "Idempotency key reused",
        "This `Idempotency-Key` came with another request before. Use a new key for a new request.";
    PreconditionRequired = "precondition-required", PRECONDITION_REQUIRED, "Precondition required",
        "Changes name the version that they start from: send the `ETag` of what you read as `If-Match`.";
    TooManyRequests = "too-many-requests", TOO_MANY_REQUESTS, "Too many requests",
        "This client asks more often than it may. Try again after `Retry-After` seconds.";
    PreconditionFailed = "precondition-failed", PRECONDITION_FAILED, "Precondition failed",
        "The representation is no longer the one that `If-Match` names. Read it again.";
    ContentTooLarge = "content-too-large", PAYLOAD_TOO_LARGE, "Content too large",
        "The body is larger than this address takes.";
    UriTooLong = "uri-too-long", URI_TOO_LONG, "URI too long",
        "The address has more than 4,096 bytes.";
    Internal = "internal", INTERNAL_SERVER_ERROR, "Internal error",
        "A fault of ours. It is logged under the id in `instance`; trying again may help.";
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "Service unavailable",
        "Something this answer needs cannot be reached just now. Try again after `Retry-After` seconds.";
    DeadlineExceeded = "deadline-exceeded", SERVICE_UNAVAILABLE, "Deadline exceeded",
        "The answer was not ready in the time this request has. Try again after `Retry-After` seconds.";
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "Overloaded",
        "There is more to do than can be done in time, and nothing has been done for this request. Try again after `Retry-After` seconds.";
}

/// One thing that is wrong with the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where: `/query/<name>`, `/path/<name>`, `/header/<name>`, or a JSON pointer into the body.
    pub pointer: String,
    /// What, as a stable word.
    pub code: &'static str,
    /// What, as a sentence.
    pub detail: String,
}

/// An error on its way out.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
}

/// The JSON of a problem.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument<'a> {
    /// What kind it is; the address documents it.
    #[serde(rename = "type")]
    #[schema(example = "/problems/invalid-parameter")]
    pub kind: String,
    /// What it is called.
    pub title: &'a str,
    /// The status code.
    pub status: u16,
    /// What happened this time.
    pub detail: &'a str,
    /// This occurrence: the id of the request, as a URN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Everything that is wrong with the input, at once.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub errors: &'a [FieldError],
}

/// The problems that any read can end in, for the OpenAPI document.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "documents what `finish` writes")]
pub(crate) enum ReadProblems {
    /// A parameter is unknown, repeated or out of range.
    #[response(status = 400, content_type = "application/problem+json")]
    Parameter(ProblemDocument<'static>),
    /// The address is too long.
    #[response(status = 414, content_type = "application/problem+json")]
    Uri(ProblemDocument<'static>),
    /// A fault of ours.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemDocument<'static>),
    /// Something the answer needs is away; see `Retry-After`.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemDocument<'static>),
}

/// What signed-in requests can end in beside, for the OpenAPI document.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "documents what `finish` writes")]
pub(crate) enum SignedProblems {
    /// Nobody is signed in.
    #[response(status = 401, content_type = "application/problem+json")]
    SignIn(ProblemDocument<'static>),
    /// The account may not do that, or a page of another site has sent it.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemDocument<'static>),
    /// The client asks too often; see `Retry-After`.
    #[response(status = 429, content_type = "application/problem+json")]
    TooMany(ProblemDocument<'static>),
}

/// What requests with a body can end in beside, for the OpenAPI document.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "documents what `finish` writes")]
pub(crate) enum BodyProblems {
    /// The body is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    Large(ProblemDocument<'static>),
    /// The body is not JSON by its type.
    #[response(status = 415, content_type = "application/problem+json")]
    Type(ProblemDocument<'static>),
    /// The body says what cannot be taken; `errors` tells all of it.
    #[response(status = 422, content_type = "application/problem+json")]
    Content(ProblemDocument<'static>),
}

/// What changes of existing things can end in beside, for the OpenAPI document.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "documents what `finish` writes")]
pub(crate) enum ChangeProblems {
    /// It has changed since the version that `If-Match` names.
    #[response(status = 412, content_type = "application/problem+json")]
    Stale(ProblemDocument<'static>),
    /// `If-Match` is missing.
    #[response(status = 428, content_type = "application/problem+json")]
    Required(ProblemDocument<'static>),
}

/// The state of the thing does not allow it, for the OpenAPI document.
#[derive(IntoResponses)]
#[response(
    status = 409,
    description = "The state of the thing, or something that is there already, does not allow it",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "documents what `finish` writes")]
pub(crate) struct ConflictProblem(ProblemDocument<'static>);

/// There is nothing at the address, for the OpenAPI document.
#[derive(IntoResponses)]
#[response(
    status = 404,
    description = "There is nothing at this address",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "documents what `finish` writes")]
pub(crate) struct MissingProblem(ProblemDocument<'static>);

impl Problem {
    /// A problem of a kind, told in a sentence.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// Parameters that are wrong, all of them.
    pub fn invalid_parameters(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => one.detail.clone(),
            many => format!("{} parameters are invalid", many.len()),
        };
        Self {
            errors,
            ..Self::new(Kind::InvalidParameter, detail)
        }
    }

    /// What is wrong with a body, all of it.
    pub fn invalid_content(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{} {}", one.pointer, one.detail),
            many => format!("{} things are wrong with the body", many.len()),
        };
        Self {
            errors,
            ..Self::new(Kind::InvalidContent, detail)
        }
    }

    /// The same, with what is wrong where.
    pub(crate) fn with_errors(self, errors: Vec<FieldError>) -> Self {
        Self { errors, ..self }
    }

    /// Nothing there, or nothing one may know of.
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound, "there is nothing at this address")
    }

    /// The same, worth trying again after a while.
    pub(crate) fn after(self, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..self
        }
    }

    /// A dependency is away; try again after a while.
    pub fn unavailable(retry_after: Duration) -> Self {
        let detail = "a service that this answer needs is not available";
        Self {
            retry_after: Some(retry_after),
            ..Self::new(Kind::Unavailable, detail)
        }
    }

    /// The time of the request is up.
    pub fn deadline_exceeded(retry_after: Duration) -> Self {
        let detail = "the answer was not ready in time";
        Self {
            retry_after: Some(retry_after),
            ..Self::new(Kind::DeadlineExceeded, detail)
        }
    }

    /// There is too much to do; try again after a while.
    pub fn overloaded(retry_after: Duration) -> Self {
        let detail = "there is more to do than can be done in time";
        Self {
            retry_after: Some(retry_after),
            ..Self::new(Kind::Overloaded, detail)
        }
    }

    /// A fault of ours.
    pub fn internal() -> Self {
        Self::new(Kind::Internal, "something went wrong on our side")
    }

    /// The body is larger than this address takes.
    pub fn content_too_large(max_bytes: usize) -> Self {
        Self::new(
            Kind::ContentTooLarge,
            format!("the body may have at most {max_bytes} bytes"),
        )
    }

    /// What kind it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The whole response, for those who answer outside the router's own layers.
    pub fn into_response_for(self, request: Option<&RequestId>) -> Response {
        let (status, headers, body) = self.into_parts_for(request);
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    /// The response in its parts, for those who write the same often.
    pub fn into_parts_for(self, request: Option<&RequestId>) -> (StatusCode, HeaderMap, Vec<u8>) {
        let document = ProblemDocument {
            kind: format!("/problems/{}", self.kind.slug()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            instance: request.map(|id| format!("urn:request:{}", id.0)),
            errors: &self.errors,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        protect(&mut headers);
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        if self.kind.status() == StatusCode::UNAUTHORIZED {
            // A 401 names a scheme (RFC 9110, section 11.6.1); that of cookies has no registered name.
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(
                    "Cookie realm=\"pitchey\", cookie-name=\"__Host-session\"",
                ),
            );
        }
        (self.kind.status(), headers, body)
    }
}

/// Seconds as headers tell them: rounded up, so that who waits so long has waited long enough.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    seconds.max(1)
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::SignIn => Self::new(Kind::SignInRequired, detail),
            Refusal::Forbidden => Self::new(Kind::Forbidden, detail),
            Refusal::NotFound => Self::not_found(),
            Refusal::Stale => Self::new(Kind::PreconditionFailed, detail),
            Refusal::Conflict(Conflict::KeyInFlight) => {
                Self::new(Kind::KeyInFlight, detail).after(Duration::from_secs(1))
            }
            Refusal::NotAllowed(_) | Refusal::Conflict(_) => Self::new(Kind::Conflict, detail),
            Refusal::KeyReused => Self::new(Kind::KeyReused, detail),
            Refusal::Incomplete(fields) => Self::invalid_content(
                fields
                    .into_iter()
                    .map(|field| FieldError {
                        pointer: format!("/{field}"),
                        code: "missing",
                        detail: "is needed before it can be published".to_owned(),
                    })
                    .collect(),
            ),
        }
    }
}

impl From<Busy> for Problem {
    fn from(busy: Busy) -> Self {
        Self::unavailable(busy.retry_after)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let chain = Chain(&error);
        match &error {
            StoreError::Unavailable(cause) | StoreError::Timeout(cause) => {
                // Not asked at all: the outage itself has been logged.
                if let Some(open) = cause.downcast_ref::<BreakerOpen>() {
                    return Self::unavailable(open.retry_after);
                }
                tracing::warn!(error = %chain, "the store did not answer");
                Self::unavailable(Duration::from_secs(1))
            }
            StoreError::Overloaded(_) => {
                // At the worst moment there are many of these: what rejects them counts them.
                tracing::debug!(error = %chain, "the store is overloaded");
                Self::unavailable(Duration::from_secs(1))
            }
            StoreError::Internal(_) => {
                tracing::error!(error = %chain, "the store failed");
                Self::internal()
            }
        }
    }
}

/// An error with its causes, each once.
struct Chain<'a>(&'a (dyn std::error::Error + 'a));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl IntoResponse for Problem {
    /// The problem travels as an extension; the outermost layer writes it out with the request's id.
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}
