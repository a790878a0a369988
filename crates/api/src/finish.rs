//! The outermost layer: problems written out, cache headers from the table of routes, strong `ETag`s,
//! preconditions (RFC 9110, section 13), compression, and what browsers are told of every answer.

use crate::coding::Coding;
use crate::problem::{Kind, Problem, RequestId};
use crate::protect::protect;
use crate::routes::{Caching, caching_of};
use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use sha2::{Digest as _, Sha256};

/// Smaller bodies fit in a packet anyway.
const MIN_COMPRESSED: usize = 1024;
/// No representation of ours comes near; a larger one is a fault.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// Longer addresses are refused.
pub(crate) const MAX_URI: usize = 4096;

pub(crate) async fn finish(request: Request, next: Next) -> Response {
    let mut response = write_out(request, next).await;
    protect(response.headers_mut());
    response
}

async fn write_out(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let caching = request
        .extensions()
        .get::<MatchedPath>()
        .map_or(Caching::Private, |path| {
            caching_of(request.method(), path.as_str())
        });
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let uri = request.uri();
    let uri_bytes = uri.path().len() + uri.query().map_or(0, |query| query.len() + 1);

    let mut response = if uri_bytes > MAX_URI {
        let detail = format!("the address has {uri_bytes} bytes, at most {MAX_URI} are taken");
        axum::response::IntoResponse::into_response(Problem::new(Kind::UriTooLong, detail))
    } else {
        next.run(request).await
    };

    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let mut written = problem.into_response_for(id.as_ref());
        // What layers within said beside it: allowed methods, limits, a cookie taken away.
        response.headers_mut().remove(header::CONTENT_LENGTH);
        written
            .headers_mut()
            .extend(std::mem::take(response.headers_mut()));
        return written;
    }
    if !response.headers().contains_key(header::CACHE_CONTROL) {
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, caching.header());
    }
    if !matches!(method, Method::GET | Method::HEAD) {
        return match response.extensions_mut().remove::<Version>() {
            Some(version) => tagged(version, response).await,
            None => response,
        };
    }
    if response.status() != StatusCode::OK {
        return response;
    }
    match represent(&headers, caching, response).await {
        Ok(response) => response,
        Err(problem) => problem.into_response_for(id.as_ref()),
    }
}

/// The version of the thing that an answer represents: its tag opens with it, so that `If-Match` of a
/// change can name the version whichever representation was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Version(pub(crate) i64);

impl Version {
    fn of(response: &Response) -> Option<Self> {
        response.extensions().get().copied()
    }
}

/// An answer to a change that shows what it made: the tag is that of a read.
async fn tagged(version: Version, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return Problem::internal().into_response_for(None);
    };
    insert(
        &mut parts.headers,
        header::ETAG,
        &strong_tag(version, &body),
    );
    Response::from_parts(parts, Body::from(body))
}

/// The tag of an answer that is sent as it is.
pub(crate) fn strong_tag(version: Version, body: &[u8]) -> String {
    etag(&content_hash(Some(version), body), Coding::Identity)
}

fn content_hash(version: Option<Version>, body: &[u8]) -> String {
    let hash = URL_SAFE_NO_PAD.encode(&Sha256::digest(body)[..16]);
    match version {
        Some(Version(version)) => format!("{version}.{hash}"),
        None => hash,
    }
}

/// Validator, precondition and coding of a successful read.
async fn represent(
    request: &HeaderMap,
    caching: Caching,
    response: Response,
) -> Result<Response, Problem> {
    let version = Version::of(&response);
    let (mut parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, MAX_BODY)
        .await
        .map_err(|error| {
            tracing::error!(%error, "a body could not be collected");
            Problem::internal()
        })?;
    // Compressing secrets beside text that an attacker chose would give them away (BREACH): only what
    // anyone may read is compressed.
    let compressible =
        caching != Caching::Private && body.len() >= MIN_COMPRESSED && is_text(&parts.headers);
    let mut coding = if compressible {
        Coding::negotiate(request)
    } else {
        Coding::Identity
    };
    let hash = content_hash(version, &body);
    if compressible {
        parts
            .headers
            .append(header::VARY, HeaderValue::from_static("accept-encoding"));
    }

    if let Some(condition) = joined(request, header::IF_MATCH)
        && !any_tag(&condition, |tag| tag_names(tag, &hash))
    {
        return Err(Problem::new(
            Kind::PreconditionFailed,
            "the representation is not the one that If-Match names",
        ));
    }
    if let Some(condition) = joined(request, header::IF_NONE_MATCH) {
        let tag = etag(&hash, coding);
        if any_tag(&condition, |other| {
            other.strip_prefix("W/").unwrap_or(other) == tag
        }) {
            parts.status = StatusCode::NOT_MODIFIED;
            parts.headers.remove(header::CONTENT_TYPE);
            parts.headers.remove(header::CONTENT_LENGTH);
            insert(&mut parts.headers, header::ETAG, &tag);
            return Ok(Response::from_parts(parts, Body::empty()));
        }
    }
    let body = match coding.encode(&body) {
        Some(coded) => {
            insert(&mut parts.headers, header::CONTENT_ENCODING, coding.name());
            Bytes::from(coded)
        }
        None => {
            coding = Coding::Identity;
            body
        }
    };
    insert(&mut parts.headers, header::ETAG, &etag(&hash, coding));
    insert(
        &mut parts.headers,
        header::CONTENT_LENGTH,
        &body.len().to_string(),
    );
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Each coding is another representation, and a strong tag names bytes (RFC 9110, section 8.8.3.3).
fn etag(hash: &str, coding: Coding) -> String {
    match coding {
        Coding::Identity => format!("\"{hash}\""),
        coding => format!("\"{hash}-{}\"", coding.name()),
    }
}

/// Whether a strong tag names this content in any coding: what `If-Match` is about is the content.
fn tag_names(tag: &str, hash: &str) -> bool {
    tag.strip_prefix('"')
        .and_then(|tag| tag.strip_prefix(hash))
        .is_some_and(|rest| matches!(rest, "\"" | "-gzip\"" | "-br\""))
}

fn any_tag(condition: &str, matches: impl Fn(&str) -> bool) -> bool {
    // Our tags hold no commas; a foreign one that does matches nothing in either half.
    condition
        .split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || matches(tag))
}

/// A header that may come in several lines, as one; unreadable lines match nothing.
fn joined(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    let mut lines = headers.get_all(name).iter().peekable();
    lines.peek()?;
    Some(
        lines
            .filter_map(|line| line.to_str().ok())
            .collect::<Vec<_>>()
            .join(","),
    )
}

fn is_text(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| {
            kind.starts_with("text/")
                || ["json", "javascript", "xml"]
                    .iter()
                    .any(|word| kind.contains(word))
        })
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
