//! A read's answer, ready to be sent: the body with its codings, and the tags that name them.

use crate::coding::Coding;
use crate::problem::{Kind, Problem};
use axum::body::{Body, Bytes};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};
use std::sync::OnceLock;

/// Smaller bodies fit in a packet anyway.
const MIN_COMPRESSED: usize = 1024;

/// The header lines of an answer, with those that are added to it on its way: one allocation for all.
const HEADERS: usize = 20;

/// The version of the thing that an answer represents: its tag opens with it, so that `If-Match` of a
/// change can name the version whichever representation was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version(pub(crate) i64);

/// A representation in every coding. Codings are made when the first client asks for them, and kept.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) version: Option<Version>,
    pub(crate) content_type: HeaderValue,
    pub(crate) hash: Box<str>,
    pub(crate) body: Bytes,
    compressible: bool,
    tags: [HeaderValue; 3],
    gzip: OnceLock<Option<Bytes>>,
    brotli: OnceLock<Option<Bytes>>,
}

impl Page {
    /// `public` pages alone are compressed: secrets beside text that an attacker chose would give themselves
    /// away by their length (BREACH).
    pub(crate) fn new(
        version: Option<Version>,
        content_type: HeaderValue,
        body: Bytes,
        public: bool,
    ) -> Self {
        let hash = content_hash(version, &body).into();
        Self::of(version, content_type, hash, body, public)
    }

    /// The same with a hash that is known.
    pub(crate) fn of(
        version: Option<Version>,
        content_type: HeaderValue,
        hash: Box<str>,
        body: Bytes,
        public: bool,
    ) -> Self {
        let tag = |coding| {
            HeaderValue::from_str(&etag(&hash, coding)).unwrap_or(HeaderValue::from_static("\"\""))
        };
        Self {
            version,
            compressible: public && body.len() >= MIN_COMPRESSED && is_text(&content_type),
            tags: [Coding::Identity, Coding::Gzip, Coding::Brotli].map(tag),
            content_type,
            hash,
            body,
            gzip: OnceLock::new(),
            brotli: OnceLock::new(),
        }
    }

    /// The answer to a request with these headers: preconditions (RFC 9110, section 13), and the coding
    /// that the client would have.
    pub(crate) fn send(&self, request: &HeaderMap) -> Result<Response, Problem> {
        if request.contains_key(header::IF_MATCH)
            && !any_tag(request, header::IF_MATCH, |tag| tag_names(tag, &self.hash))
        {
            return Err(Problem::new(
                Kind::PreconditionFailed,
                "the representation is not the one that If-Match names",
            ));
        }
        let wanted = if self.compressible {
            Coding::negotiate(request)
        } else {
            Coding::Identity
        };
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.reserve(HEADERS);
        if self.compressible {
            let varies = HeaderValue::from_static("accept-encoding");
            headers.insert(header::VARY, varies);
        }
        if request.contains_key(header::IF_NONE_MATCH) {
            let current = self.tag(wanted);
            let is_current =
                |other: &str| other.strip_prefix("W/").unwrap_or(other).as_bytes() == current;
            if any_tag(request, header::IF_NONE_MATCH, is_current) {
                headers.insert(header::ETAG, current.clone());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                return Ok(response);
            }
        }
        let coded = match wanted {
            Coding::Identity => None,
            Coding::Gzip => self.coded(&self.gzip, wanted),
            Coding::Brotli => self.coded(&self.brotli, wanted),
        };
        let (coding, body) = match coded {
            Some(body) => (wanted, body),
            None => (Coding::Identity, &self.body),
        };
        if coding != Coding::Identity {
            let name = HeaderValue::from_static(coding.name());
            headers.insert(header::CONTENT_ENCODING, name);
        }
        headers.insert(header::CONTENT_TYPE, self.content_type.clone());
        headers.insert(header::ETAG, self.tag(coding).clone());
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        *response.body_mut() = Body::from(body.clone());
        Ok(response)
    }

    fn coded<'a>(&self, made: &'a OnceLock<Option<Bytes>>, coding: Coding) -> Option<&'a Bytes> {
        let make = || coding.encode(&self.body).map(Bytes::from);
        made.get_or_init(make).as_ref()
    }

    fn tag(&self, coding: Coding) -> &HeaderValue {
        &self.tags[match coding {
            Coding::Identity => 0,
            Coding::Gzip => 1,
            Coding::Brotli => 2,
        }]
    }
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

/// Whether a tag of a condition, which may come in several lines, matches; unreadable lines match nothing.
fn any_tag(
    request: &HeaderMap,
    condition: header::HeaderName,
    matches: impl Fn(&str) -> bool,
) -> bool {
    let lines = request.get_all(condition).iter();
    // Our tags hold no commas; a foreign one that does matches nothing in either half.
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || matches(tag))
}

fn is_text(content_type: &HeaderValue) -> bool {
    content_type.to_str().is_ok_and(|kind| {
        kind.starts_with("text/")
            || ["json", "javascript", "xml"]
                .iter()
                .any(|word| kind.contains(word))
    })
}
