//! The outermost layer: problems written out, cache headers from the table of routes, strong `ETag`s,
//! preconditions (RFC 9110, section 13), compression, and what browsers are told of every answer.

use crate::cached::Ready;
use crate::page::{Page, Version, strong_tag};
use crate::problem::{Kind, Problem, RequestId};
use crate::protect::protect;
use crate::routes::{Caching, caching_of};
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

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

/// An answer to a change that shows what it made: the tag is that of a read.
async fn tagged(version: Version, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return Problem::internal().into_response_for(None);
    };
    if let Ok(tag) = HeaderValue::from_str(&strong_tag(version, &body)) {
        parts.headers.insert(header::ETAG, tag);
    }
    Response::from_parts(parts, Body::from(body))
}

/// Validator, precondition and coding of a successful read.
async fn represent(
    request: &HeaderMap,
    caching: Caching,
    mut response: Response,
) -> Result<Response, Problem> {
    let ready = response.extensions_mut().remove::<Ready>();
    let (mut parts, body) = response.into_parts();
    let mut sent = match ready {
        Some(Ready(page)) => page.send(request)?,
        None => {
            let public = caching != Caching::Private;
            let page = page_of(&mut parts, body, public).await?;
            page.send(request)?
        }
    };
    // What the layers within said beside it.
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        parts.headers.remove(name);
    }
    if parts.headers.contains_key(header::VARY)
        && let Some(varies) = sent.headers_mut().remove(header::VARY)
    {
        parts.headers.append(header::VARY, varies);
    }
    sent.headers_mut().extend(parts.headers);
    *sent.extensions_mut() = parts.extensions;
    Ok(sent)
}

/// The page that a handler has answered.
pub(crate) async fn page_of(parts: &mut Parts, body: Body, public: bool) -> Result<Page, Problem> {
    let body = axum::body::to_bytes(body, MAX_BODY)
        .await
        .map_err(|error| {
            tracing::error!(%error, "a body could not be collected");
            Problem::internal()
        })?;
    let kind = parts.headers.get(header::CONTENT_TYPE).cloned();
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let version = parts.extensions.get::<Version>().copied();
    Ok(Page::new(version, kind, body, public))
}
