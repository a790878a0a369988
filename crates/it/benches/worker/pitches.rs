//! What the server behind both says, as the origin does to an edge: a pitch of each size.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use pitchey_api::edge::{AGE_MS, KEY, STAMP, TAGS, write_as_of};
use pitchey_cache::{AsOf, Epoch, Seq};

pub(crate) const SECRET: &str = "what edges show to origins in this bench";

/// The pitches, and how many bytes each has.
pub(crate) const PITCHES: [(&str, usize); 2] = [
    ("01939000-0000-7000-8000-000000000001", 1024),
    ("01939000-0000-7000-8000-000000000016", 16 * 1024),
];

pub(crate) fn says(request: &Request<Incoming>) -> Option<Response<Full<Bytes>>> {
    let id = request.uri().path().strip_prefix("/api/pitches/")?;
    let (id, bytes) = PITCHES.into_iter().find(|(one, _)| *one == id)?;
    if request.headers().get(KEY).is_none_or(|key| key != SECRET) {
        return None;
    }
    let frame = format!("{{\"id\":\"{id}\",\"synopsis\":\"\"}}").len();
    let text = "x".repeat(bytes - frame);
    let body = format!("{{\"id\":\"{id}\",\"synopsis\":\"{text}\"}}");
    let mut response = Response::new(Full::from(body));
    let headers = response.headers_mut();
    let mut say = |name, value| headers.insert(name, HeaderValue::from_static(value));
    say(header::CONTENT_TYPE, "application/json");
    say(header::CACHE_CONTROL, "public, max-age=60");
    say(header::ETAG, "\"1.AAAAAAAAAAAAAAAAAAAAAA\"");
    let policy =
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox";
    say(header::CONTENT_SECURITY_POLICY, policy);
    say(header::REFERRER_POLICY, "no-referrer");
    say(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    say(AGE_MS, "0");
    let as_of = AsOf {
        epoch: Epoch(1),
        seq: Seq(1),
    };
    headers.insert(STAMP, write_as_of(as_of));
    if let Ok(tags) = HeaderValue::try_from(format!("pitch:{id}")) {
        headers.insert(TAGS, tags);
    }
    Some(response)
}
