//! A bucket that speaks S3, as a store of static files.

use std::error::Error;
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{
    CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH, RANGE,
};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use pitchey_edge::{BoxError, FetchError, Objects, Opened, Wanted};
use pitchey_resilience::{Deadline, Failed, Failure, RetryBudget, RetryPolicy};
use pitchey_runtime::{Clock as _, SystemRuntime};
use rusty_s3::{Bucket, Credentials, S3Action as _, UrlStyle};
use secrecy::ExposeSecret as _;

use crate::config::{AssetsConfig, OriginConfig, ms};
use crate::native::connector;
use crate::paced::Paced;

/// How long an address may be used once it is signed.
const SIGNED_FOR: Duration = Duration::from_mins(5);

/// What is wrong is asked again, once, after this time at most.
const PAUSE: Duration = Duration::from_millis(100);

/// The bucket.
pub(crate) struct S3 {
    bucket: Bucket,
    credentials: Credentials,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    /// How long its answer may take until it begins, all attempts together.
    patience: Duration,
    stall: Duration,
    policy: RetryPolicy,
    budget: RetryBudget,
    system: SystemRuntime,
}

impl std::fmt::Debug for S3 {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("S3").finish_non_exhaustive()
    }
}

/// Why an attempt gave no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("the bucket took too long")]
    Late,
    #[error("the bucket did not answer")]
    Broken(#[source] BoxError),
    #[error("the bucket answers {0}")]
    Status(StatusCode),
    #[error("the answer of the bucket has no {0}")]
    Lacks(HeaderName),
}

impl Unanswered {
    fn failure(&self) -> Failure {
        match self {
            Self::Broken(_) => Failure::Transient,
            Self::Status(status) if status.is_server_error() => Failure::Transient,
            Self::Late | Self::Status(_) | Self::Lacks(_) => Failure::Permanent,
        }
    }
}

impl S3 {
    /// The bucket that the configuration names. It is not asked for anything yet.
    pub(crate) fn new(
        config: &AssetsConfig,
        origin: &OriginConfig,
        system: SystemRuntime,
    ) -> anyhow::Result<Self> {
        let s3 = &config.s3;
        let endpoint = s3.endpoint.parse().context("assets.s3.endpoint")?;
        let style = if s3.path_style {
            UrlStyle::Path
        } else {
            UrlStyle::VirtualHost
        };
        let bucket = Bucket::new(endpoint, style, s3.bucket.clone(), s3.region.clone());
        let secret = s3.secret_key.expose_secret().to_owned();
        Ok(Self {
            bucket: bucket.context("assets.s3.bucket")?,
            credentials: Credentials::new(s3.access_key.clone(), secret),
            client: Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(ms(origin.idle_timeout_ms))
                .pool_max_idle_per_host(origin.idle_connections)
                .build(connector(ms(origin.connect_timeout_ms))?),
            patience: ms(s3.timeout_ms),
            stall: ms(origin.stall_timeout_ms),
            policy: RetryPolicy {
                attempts: const { NonZeroU32::new(2).expect("not zero") },
                base: PAUSE,
                longest: PAUSE,
                needs: Duration::ZERO,
            },
            budget: RetryBudget::default(),
            system,
        })
    }

    async fn ask(
        &self,
        name: &str,
        wanted: Wanted<'_>,
        deadline: Deadline,
    ) -> Result<Opened<Paced>, Unanswered> {
        let signer = Some(&self.credentials);
        let (method, url) = match wanted {
            Wanted::Head => {
                let head = self.bucket.head_object(signer, name);
                (Method::HEAD, head.sign(SIGNED_FOR))
            }
            Wanted::Whole { .. } | Wanted::Part { .. } => {
                let get = self.bucket.get_object(signer, name);
                (Method::GET, get.sign(SIGNED_FOR))
            }
        };
        let broken = |error: BoxError| Unanswered::Broken(error);
        let uri: Uri = url
            .as_str()
            .parse()
            .map_err(|error| broken(Box::new(error)))?;
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        conditions(request.headers_mut(), wanted);
        let asking = deadline.run(&self.system, self.client.request(request));
        let response = match asking.await {
            Err(_) => return Err(Unanswered::Late),
            Ok(Err(error)) => return Err(broken(Box::new(error))),
            Ok(Ok(response)) => response,
        };
        self.opened(response, wanted)
    }

    fn opened(
        &self,
        response: Response<Incoming>,
        wanted: Wanted<'_>,
    ) -> Result<Opened<Paced>, Unanswered> {
        let is_part = matches!(wanted, Wanted::Part { .. });
        let (parts, body) = response.into_parts();
        let headers = &parts.headers;
        let length = match parts.status {
            StatusCode::NOT_FOUND => return Ok(Opened::Missing),
            StatusCode::NOT_MODIFIED | StatusCode::PRECONDITION_FAILED => {
                return Ok(Opened::Unwanted);
            }
            StatusCode::OK if !is_part => {
                number(headers, &CONTENT_LENGTH).ok_or(Unanswered::Lacks(CONTENT_LENGTH))?
            }
            StatusCode::PARTIAL_CONTENT if is_part => {
                whole(headers).ok_or(Unanswered::Lacks(CONTENT_RANGE))?
            }
            status => return Err(Unanswered::Status(status)),
        };
        let tag = tag(headers).ok_or(Unanswered::Lacks(ETAG))?;
        let body = Paced::new(body, self.system, self.stall, u64::MAX);
        Ok(Opened::Found { tag, length, body })
    }
}

impl Objects for S3 {
    type Body = Paced;

    async fn open(&self, name: &str, wanted: Wanted<'_>) -> Result<Opened<Paced>, FetchError> {
        let deadline = Deadline::after(self.system.now(), self.patience);
        let attempt = |_| self.ask(name, wanted, deadline);
        let asking = self.policy.run(
            &self.system,
            &self.budget,
            deadline,
            Unanswered::failure,
            attempt,
        );
        let failed = match asking.await {
            Ok(opened) => return Ok(opened),
            Err(failed) => failed,
        };
        tracing::error!(
            name,
            error = &failed as &dyn Error,
            "a static file cannot be read"
        );
        Err(match failed {
            Failed::TooLate
            | Failed::Error {
                error: Unanswered::Late,
                ..
            } => FetchError::Timeout,
            failed @ Failed::Error { .. } => FetchError::Failed(Box::new(failed)),
        })
    }
}

fn conditions(headers: &mut HeaderMap, wanted: Wanted<'_>) {
    let mut tell = |name: HeaderName, text: String| {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    };
    match wanted {
        Wanted::Head | Wanted::Whole { known: None } => {}
        Wanted::Whole { known: Some(known) } => tell(IF_NONE_MATCH, format!("\"{known}\"")),
        Wanted::Part { tag, first, length } => {
            let last = first.saturating_add(length).saturating_sub(1);
            tell(IF_MATCH, format!("\"{tag}\""));
            tell(RANGE, format!("bytes={first}-{last}"));
        }
    }
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// How long the whole is of which this is a part.
fn whole(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    range.rsplit_once('/')?.1.parse().ok()
}

fn tag(headers: &HeaderMap) -> Option<String> {
    let tag = headers.get(ETAG)?.to_str().ok()?;
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let tag = tag.trim_matches('"');
    (!tag.is_empty()).then(|| tag.to_owned())
}
