//! Making an answer of a stored response: conditions first, then ranges (RFC 9110, 13.2.2).

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, AGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, COOKIE, DATE, ETAG, EXPIRES,
    HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE, VARY,
};
use http::{Method, StatusCode};

use crate::decision::{Answer, Body, Multipart, Request, Source};
use crate::directives::RequestControl;
use crate::etag::{EntityTag, TagList, entity_tag, last_modified};
use crate::fields::{add, end_to_end, only, put};
use crate::options::{Credentials, Options};
use crate::range::{Ranges, Span, content_range};
use crate::status::CacheStatus;
use crate::stored::Stored;
use crate::time::Timestamp;
use crate::vary::{Normal, names_word};

/// A request, read once.
pub(crate) struct Inquiry<'a> {
    pub(crate) method: &'a Method,
    /// The fields that the origin would see.
    pub(crate) headers: Cow<'a, HeaderMap>,
    pub(crate) control: RequestControl,
    normal: Normal,
}

impl<'a> Inquiry<'a> {
    pub(crate) fn of(request: Request<'a>, options: &Options) -> Self {
        let headers = end_to_end(request.headers);
        let said = RequestControl::of(&headers);
        let control = if options.obey_requests {
            said
        } else {
            RequestControl {
                no_store: said.no_store,
                no_transform: said.no_transform,
                only_if_cached: said.only_if_cached,
                ..RequestControl::default()
            }
        };
        Self {
            method: request.method,
            headers,
            control,
            normal: Normal::default(),
        }
    }

    /// Whether it selects a stored response.
    pub(crate) fn selects(&self, stored: &Stored) -> bool {
        stored.matches(&self.headers, &self.normal)
    }

    /// Whether a stored response can be an answer at all.
    pub(crate) fn is_read(&self) -> bool {
        matches!(*self.method, Method::GET | Method::HEAD)
    }

    /// Whether the options let it pass by the cache.
    pub(crate) fn bypasses(&self, options: &Options) -> bool {
        let has = |name, what| what == Credentials::Bypass && self.headers.contains_key(name);
        has(COOKIE, options.cookies) || has(AUTHORIZATION, options.authorization)
    }

    /// Whether it asks for a test that only the origin can make (RFC 9111, 4.3.2).
    pub(crate) fn tests_the_origin(&self) -> bool {
        self.headers.contains_key(IF_MATCH) || self.headers.contains_key(IF_UNMODIFIED_SINCE)
    }

    /// Whether the client has what a response would give it. `If-None-Match` takes precedence over
    /// `If-Modified-Since`, and both mean nothing if the response is no success.
    pub(crate) fn has_it_already(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        date: Timestamp,
        received: Timestamp,
    ) -> bool {
        if !self.is_read() || !status.is_success() {
            return false;
        }
        if self.headers.contains_key(IF_NONE_MATCH) {
            let listed = TagList::parse(self.headers.get_all(IF_NONE_MATCH).into_iter());
            return listed.matches_weakly(entity_tag(headers));
        }
        let since = only(&self.headers, &IF_MODIFIED_SINCE)
            .and_then(|value| Timestamp::parse(value.as_bytes(), received));
        let modified = last_modified(headers, received).unwrap_or(date);
        since.is_some_and(|since| modified <= since)
    }

    /// The ranges that are asked for and to be heeded (RFC 9110, 14.2 and 13.1.5).
    fn ranges(&self, stored: &Stored) -> Option<&HeaderValue> {
        let range = only(&self.headers, &RANGE)?;
        let applies = *self.method == Method::GET
            && stored.status == StatusCode::OK
            && !names_word(
                stored
                    .headers
                    .get(ACCEPT_RANGES)
                    .map_or(&[], HeaderValue::as_bytes),
                "none",
            );
        (applies && self.same_as_before(stored)).then_some(range)
    }

    /// Whether `If-Range`, if it is there, names what is stored. The comparison is strong: a date counts
    /// only if the response was made a second or more after it.
    fn same_as_before(&self, stored: &Stored) -> bool {
        if !self.headers.contains_key(IF_RANGE) {
            return true;
        }
        let Some(value) = only(&self.headers, &IF_RANGE) else {
            return false;
        };
        if let Some(tag) = EntityTag::parse(value.as_bytes()) {
            return entity_tag(&stored.headers).is_some_and(|own| own.strong_eq(tag));
        }
        let received = stored.times.response;
        let asked = Timestamp::parse(value.as_bytes(), received);
        let own = last_modified(&stored.headers, received);
        asked.is_some() && asked == own && own.is_some_and(|own| stored.date().since(own) >= 1)
    }

    /// The answer that a stored response gives, if what is asked for is stored. Whether it may be given
    /// is decided before.
    pub(crate) fn answer(
        &self,
        stored: &Stored,
        source: Source,
        now: Timestamp,
        options: &Options,
        cache_status: CacheStatus,
    ) -> Option<Answer> {
        let no_transform = self.control.no_transform || stored.no_transform();
        let whole = |status, headers, body| Answer {
            status,
            headers,
            source,
            body,
            cache_status,
            no_transform,
        };
        let received = stored.times.response;
        if self.has_it_already(stored.status, &stored.headers, stored.date(), received) {
            let headers = unchanged(stored, now, options);
            return Some(whole(StatusCode::NOT_MODIFIED, headers, Body::Empty));
        }
        let length = stored.content.length();
        let asked = self.ranges(stored);
        let ranges = asked.map(|asked| Ranges::of(asked, &stored.content, options.max_ranges));
        let mut headers = aged(stored.headers.clone(), stored, now);
        match ranges {
            None | Some(Ranges::Ignored) => {
                if !stored.content.is_whole() {
                    return None;
                }
                if let Some(length) = length.filter(|_| may_have_length(stored.status)) {
                    put(&mut headers, CONTENT_LENGTH, HeaderValue::from(length));
                }
                let empty = *self.method == Method::HEAD || length == Some(0);
                let body = if empty { Body::Empty } else { Body::Whole };
                Some(whole(stored.status, headers, body))
            }
            Some(Ranges::Missing) => None,
            Some(Ranges::Unsatisfiable(length)) => {
                let mut headers = HeaderMap::new();
                set(&mut headers, CONTENT_RANGE, &format!("bytes */{length}"));
                set(&mut headers, DATE, &now.format());
                put(&mut headers, CONTENT_LENGTH, HeaderValue::from(0));
                let mut answer = whole(StatusCode::RANGE_NOT_SATISFIABLE, headers, Body::Empty);
                answer.source = Source::Made;
                Some(answer)
            }
            Some(Ranges::Spans(spans)) => {
                if self.headers.contains_key(IF_RANGE) {
                    // The client has them already, with the same values; several parts need the type.
                    let kind = (spans.len() == 1).then_some(CONTENT_TYPE);
                    let known = [CONTENT_ENCODING, CONTENT_LANGUAGE, LAST_MODIFIED];
                    for name in known.into_iter().chain(kind) {
                        headers.remove(name);
                    }
                }
                let body = match spans.as_slice() {
                    [span] => {
                        set(&mut headers, CONTENT_RANGE, &content_range(*span, length));
                        put(
                            &mut headers,
                            CONTENT_LENGTH,
                            HeaderValue::from(span.length()),
                        );
                        Body::Span(*span)
                    }
                    _ => Body::Multipart(multipart(&mut headers, spans, stored, options)),
                };
                Some(whole(StatusCode::PARTIAL_CONTENT, headers, body))
            }
        }
    }
}

fn may_have_length(status: StatusCode) -> bool {
    !status.is_informational() && status != StatusCode::NO_CONTENT
}

fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        put(headers, name, value);
    }
}

fn aged(mut headers: HeaderMap, stored: &Stored, now: Timestamp) -> HeaderMap {
    put(&mut headers, AGE, HeaderValue::from(stored.age(now)));
    headers
}

/// The fields of a 304: those that RFC 9110, 15.4.5 demands, and what a cache behind needs to go on.
fn unchanged(stored: &Stored, now: Timestamp, options: &Options) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let fixed = [CACHE_CONTROL, CONTENT_LOCATION, DATE, ETAG, EXPIRES, VARY];
    let without_tag = (!stored.headers.contains_key(ETAG)).then_some(LAST_MODIFIED);
    for name in fixed.iter().chain(&options.targeted).chain(&without_tag) {
        for value in stored.headers.get_all(name) {
            add(&mut headers, name.clone(), value.clone());
        }
    }
    aged(headers, stored, now)
}

/// The body of a response with several ranges, and the fields that go with it.
fn multipart(
    headers: &mut HeaderMap,
    spans: Vec<Span>,
    stored: &Stored,
    options: &Options,
) -> Multipart {
    let boundary = boundary(stored, options.seed);
    let kind = headers.remove(CONTENT_TYPE);
    let mut parts = Vec::with_capacity(spans.len());
    for span in spans {
        let mut head = Vec::new();
        if !parts.is_empty() {
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        if let Some(kind) = &kind {
            head.extend_from_slice(b"Content-Type: ");
            head.extend_from_slice(kind.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        let range = content_range(span, stored.content.length());
        head.extend_from_slice(format!("Content-Range: {range}\r\n\r\n").as_bytes());
        parts.push((Bytes::from(head), span));
    }
    let closing = Bytes::from(format!("\r\n--{boundary}--\r\n"));
    let multipart = Multipart { parts, closing };
    set(
        headers,
        CONTENT_TYPE,
        &format!("multipart/byteranges; boundary={boundary}"),
    );
    put(
        headers,
        CONTENT_LENGTH,
        HeaderValue::from(multipart.length()),
    );
    multipart
}

/// A text that does not stand in the body but by a chance of one in 2^128, as long as the seed is not
/// known to whoever writes bodies.
fn boundary(stored: &Stored, seed: u64) -> String {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (seed, salt, stored.locator, stored.times.response).hash(&mut hasher);
        for value in [ETAG, LAST_MODIFIED, DATE]
            .iter()
            .filter_map(|name| stored.headers.get(name))
        {
            value.as_bytes().hash(&mut hasher);
        }
        stored.content.length().hash(&mut hasher);
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(0), half(1))
}
