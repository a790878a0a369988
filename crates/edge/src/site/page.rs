//! What is kept of an answer of the origin.

use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, ETAG, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use pitchey_cache::Value;
use pitchey_http_cache::CACHE_STATUS;

/// An answer of the origin: its fields without those of the exchange, and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What the caches on the way here said of this exchange: for those alone who waited for it.
    pub(super) passed: Option<HeaderValue>,
    /// Where it was found, if not at the origin: for the same.
    pub(super) place: Option<Place>,
    /// How it came here, for the same.
    pub(super) exchange: Exchange,
    made: Made,
}

/// A tier beyond memory in which a page was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) tier: &'static str,
    /// How much longer it is fresh, in seconds; less than nought if it is not.
    pub(super) ttl: i64,
    /// Whether it stands in for those who failed.
    pub(super) instead: bool,
}

impl Place {
    /// Found in Redis, fresh for so long and as old as that, in milliseconds.
    pub(super) fn redis(fresh_ms: u64, age_ms: u64) -> Self {
        Self {
            tier: "redis",
            ttl: seconds_between(age_ms, fresh_ms),
            instead: false,
        }
    }

    /// Found in KV, fresh for so many more milliseconds.
    pub(super) fn kv(left_ms: u64) -> Self {
        Self {
            tier: "kv",
            ttl: seconds_between(0, left_ms),
            instead: false,
        }
    }

    /// In the place of an error.
    pub(super) fn instead(tier: &'static str) -> Self {
        Self {
            tier,
            ttl: 0,
            instead: true,
        }
    }
}

/// Whole seconds from one to the other, away from nought if the second is over.
fn seconds_between(from_ms: u64, to_ms: u64) -> i64 {
    let seconds = |ms: u64| i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    if from_ms < to_ms {
        seconds(to_ms - from_ms)
    } else {
        -seconds(from_ms - to_ms).max(1)
    }
}

/// What the platform has made of a page, to send it sooner the next time.
#[derive(Default)]
struct Made(OnceLock<Box<dyn Any + Send + Sync>>);

/// It is made of the page alone, and not by all of its copies.
impl Clone for Made {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Made {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Made {}

impl std::fmt::Debug for Made {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let made = self.0.get().is_some();
        formatter.debug_tuple("Made").field(&made).finish()
    }
}

/// How a page came here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exchange {
    /// From whom, where it could have been another.
    pub(super) from: Option<Arc<str>>,
    /// Whether a database was asked from here, and not the origin.
    pub(super) database: bool,
    /// How long that took.
    pub(super) took: Option<Duration>,
}

/// Why there is no page.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The origin says that it cannot.
    Answered {
        /// Its answer.
        page: Box<Page>,
        /// The id of the request that it was given to.
        to: HeaderValue,
    },
    /// It gave no answer, and perhaps it took too long.
    Silent {
        /// Whether it did.
        timeout: bool,
    },
}

/// Fields of an answer that are about the exchange that it came in.
const PASSING: [&str; 11] = [
    "age",
    "content-length",
    "date",
    "retry-after",
    "server-timing",
    "set-cookie",
    "x-cache-status",
    "x-database-time",
    "x-request-id",
    "x-response-time",
    "ratelimit",
];

impl Page {
    /// What is kept of an answer.
    pub(super) fn new(status: StatusCode, mut headers: HeaderMap, body: Bytes) -> Self {
        let passed = headers.remove(CACHE_STATUS);
        for name in PASSING {
            headers.remove(name);
        }
        Self {
            status,
            headers,
            body,
            passed,
            made: Made::default(),
            place: None,
            exchange: Exchange::default(),
        }
    }

    /// Status, fields and body.
    pub fn parts(&self) -> (StatusCode, &HeaderMap, &Bytes) {
        (self.status, &self.headers, &self.body)
    }

    /// What the platform makes of the page when it sends it for the first time, and then has for as long as
    /// the page is kept.
    pub fn made<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        self.made.0.get_or_init(|| Box::new(make())).downcast_ref()
    }

    /// Whether nobody but the one who asked may have it, whatever the table of routes says.
    pub(super) fn is_private(headers: &HeaderMap) -> bool {
        let lines = headers.get_all(CACHE_CONTROL).iter();
        let says = |line: &HeaderValue| {
            let line = line.to_str().unwrap_or("private").to_ascii_lowercase();
            line.split(',')
                .map(str::trim)
                .any(|word| word == "no-store" || word.starts_with("private"))
        };
        headers.contains_key(http::header::SET_COOKIE) || lines.into_iter().any(says)
    }

    /// The answer to one who asks with these fields: status, fields, body.
    pub(super) fn answer(
        &self,
        method: &Method,
        asked: &HeaderMap,
    ) -> (StatusCode, HeaderMap, Bytes) {
        let mut headers = self.headers.clone();
        if self.status == StatusCode::OK && has_it(asked, headers.get(ETAG)) {
            for name in [http::header::CONTENT_TYPE, http::header::CONTENT_ENCODING] {
                headers.remove(name);
            }
            return (StatusCode::NOT_MODIFIED, headers, Bytes::new());
        }
        headers.insert(CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        let body = if *method == Method::HEAD {
            Bytes::new()
        } else {
            self.body.clone()
        };
        (self.status, headers, body)
    }
}

/// Whether a client has what this tag names (RFC 9110, 13.1.2: the comparison is weak).
fn has_it(asked: &HeaderMap, tag: Option<&HeaderValue>) -> bool {
    let Some(tag) = tag.and_then(|tag| tag.to_str().ok()) else {
        return false;
    };
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    // Our tags hold no commas; a foreign one that does matches nothing in either half.
    asked
        .get_all(http::header::IF_NONE_MATCH)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .any(|one| one == "*" || opaque(one) == opaque(tag))
}

impl Value for Page {
    const SCHEMA: u16 = 1;

    /// The status, the fields a line each, an empty line, the body.
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.status.as_u16().to_le_bytes());
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.push(b':');
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(b'\n');
        }
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
    }

    fn decode(mut bytes: Bytes) -> Option<Self> {
        let mut take = |length: usize| (bytes.len() >= length).then(|| bytes.split_to(length));
        let status = u16::from_le_bytes(take(2)?[..].try_into().ok()?);
        let mut headers = HeaderMap::new();
        loop {
            let end = bytes.iter().position(|byte| *byte == b'\n')?;
            let line = bytes.split_to(end + 1).split_to(end);
            if line.is_empty() {
                break;
            }
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            let value = HeaderValue::from_bytes(&line[colon + 1..]).ok()?;
            headers.append(name, value);
        }
        Some(Self {
            status: StatusCode::from_u16(status).ok()?,
            headers,
            body: bytes,
            passed: None,
            made: Made::default(),
            place: None,
            exchange: Exchange::default(),
        })
    }

    fn weight(&self) -> usize {
        let fields = self.headers.iter();
        let fields: usize = fields
            .map(|(name, value)| name.as_str().len() + value.len() + 64)
            .sum();
        256 + fields + self.body.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, HeaderValue::from_static("\"1.abc\""));
        headers.insert("set-cookie", HeaderValue::from_static("a=b"));
        headers.append("link", HeaderValue::from_static("<a>; rel=next"));
        headers.append("link", HeaderValue::from_static("<b>; rel=prev"));
        Page::new(
            StatusCode::OK,
            headers,
            Bytes::from_static(b"body\nwith lines"),
        )
    }

    #[test]
    fn a_page_survives_a_trip_as_bytes_and_garbage_is_none() {
        let page = page();
        assert!(!page.headers.contains_key("set-cookie"));
        let mut bytes = Vec::new();
        page.encode(&mut bytes);
        let length = page.body.len();
        assert_eq!(Page::decode(Bytes::from(bytes.clone())), Some(page));
        for end in 0..bytes.len() - length {
            let cut = Bytes::copy_from_slice(&bytes[..end]);
            assert_eq!(Page::decode(cut), None, "{end}");
        }
    }

    #[test]
    fn who_has_it_already_is_told_so() {
        let page = page();
        let asked = |tag: &'static str| {
            let mut asked = HeaderMap::new();
            asked.insert(http::header::IF_NONE_MATCH, HeaderValue::from_static(tag));
            page.answer(&Method::GET, &asked).0.as_u16()
        };
        assert_eq!(asked("\"other\", W/\"1.abc\""), 304);
        assert_eq!(asked("*"), 304);
        assert_eq!(asked("\"1.ab\""), 200);
        let (_, headers, body) = page.answer(&Method::HEAD, &HeaderMap::new());
        assert_eq!(
            (headers[CONTENT_LENGTH].as_bytes(), body.len()),
            (&b"15"[..], 0)
        );
    }

    #[test]
    fn what_the_origin_wants_nobody_to_have_is_private() {
        let private = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            Page::is_private(&headers)
        };
        assert!(private("cache-control", "max-age=60, No-Store"));
        assert!(private("cache-control", "private=\"x\""));
        assert!(private("set-cookie", "a=b"));
        assert!(!private("cache-control", "public, max-age=60"));
    }
}
