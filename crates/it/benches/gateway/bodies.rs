//! What the server behind the caches says: a body of each size, good for a day.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;

/// The sizes of the bodies, in bytes: `/1024` and `/16384`.
pub(crate) const BODIES: [usize; 2] = [1024, 16 * 1024];

pub(crate) fn says(request: &Request<Incoming>) -> Option<Response<Full<Bytes>>> {
    let bytes = request.uri().path().strip_prefix('/')?.parse().ok()?;
    if !BODIES.contains(&bytes) {
        return None;
    }
    let mut response = Response::new(Full::from(vec![b'x'; bytes]));
    let headers = response.headers_mut();
    let mut say = |name, value| headers.insert(name, HeaderValue::from_static(value));
    say(header::CONTENT_TYPE, "text/plain");
    say(header::CACHE_CONTROL, "public, max-age=86400");
    say(header::ETAG, "\"one\"");
    Some(response)
}
