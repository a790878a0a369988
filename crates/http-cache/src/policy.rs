//! What a response says about its being cached: in the field that counts, and in seconds.

use http::StatusCode;
use http::header::{
    AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG,
    EXPIRES, HeaderMap, HeaderName, LAST_MODIFIED, VARY,
};

use crate::directives::{Delta, Directives, Scope};
use crate::etag::last_modified;
use crate::fields::{age, only};
use crate::options::Options;
use crate::targeted;
use crate::time::{MAX_DELTA, Timestamp};

/// When a response was asked for and when it came, by the cache's own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When the request was sent.
    pub request: Timestamp,
    /// When the response's header section was complete.
    pub response: Timestamp,
}

/// Fields without which a response would be cached otherwise. If a response forbids to keep one of
/// them, nothing of it is kept.
const DECIDING: [HeaderName; 11] = [
    AGE,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    DATE,
    ETAG,
    EXPIRES,
    LAST_MODIFIED,
    VARY,
];

/// Whether a field decides how a response is cached, or what it is.
pub(crate) fn decides(name: &HeaderName, options: &Options) -> bool {
    DECIDING.contains(name) || options.targeted.contains(name)
}

/// The meaning of a response's fields, for a shared cache.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a directive of its own"
)]
pub(crate) struct Policy {
    /// When it was made, as far as can be known.
    pub(crate) date: Timestamp,
    /// How old it was when it came, in seconds (`corrected_initial_age`).
    pub(crate) initial_age: u64,
    pub(crate) received: Timestamp,
    /// How long it is fresh, in seconds from when it was made.
    pub(crate) lifetime: u64,
    /// Whether the response itself says how long.
    pub(crate) explicit: bool,
    pub(crate) public: bool,
    pub(crate) private: Scope,
    pub(crate) no_store: bool,
    pub(crate) must_understand: bool,
    pub(crate) no_cache: Scope,
    pub(crate) no_transform: bool,
    /// What makes it storable though the request had an `Authorization` (RFC 9111, 3.5).
    pub(crate) shareable: bool,
    /// Whether it may never be served stale (RFC 9111, 4.2.4).
    pub(crate) forbids_stale: bool,
    pub(crate) stale_while_revalidate: u64,
    pub(crate) stale_if_error: u64,
}

impl Policy {
    pub(crate) fn of(
        status: StatusCode,
        headers: &HeaderMap,
        times: Times,
        options: &Options,
    ) -> Self {
        let now = times.response;
        let date = only(headers, &DATE)
            .and_then(|date| Timestamp::parse(date.as_bytes(), now))
            .unwrap_or(now);
        let (said, targeted) = match targeted::directives(headers, &options.targeted) {
            Some(said) => (said, true),
            None => (Directives::of(headers), false),
        };
        let (s_maxage, max_age) = (said.delta("s-maxage"), said.delta("max-age"));
        let public = said.has("public");
        let explicit = lifetime(s_maxage)
            .or_else(|| lifetime(max_age))
            .or_else(|| {
                let expires = !targeted && headers.contains_key(EXPIRES);
                expires.then(|| expires_after(headers, date, now))
            });
        let guessed = || {
            let may = options.heuristics && (public || is_heuristically_cacheable(status));
            let modified = last_modified(headers, now).filter(|_| may);
            modified.map_or(0, |modified| {
                (date.since(modified) / 10)
                    .min(options.heuristic_cap)
                    .min(MAX_DELTA)
            })
        };
        let scope = |name| match said.scope(name) {
            Scope::Fields(names) if names.iter().any(|name| decides(name, options)) => Scope::Whole,
            scope => scope,
        };
        let has_s_maxage = s_maxage != Delta::Absent;
        let must_revalidate = said.has("must-revalidate");
        let strict = must_revalidate || said.has("proxy-revalidate");
        let window = |name| said.delta(name).seconds().unwrap_or(0);
        Self {
            date,
            initial_age: initial_age(headers, date, times),
            received: now,
            lifetime: explicit.unwrap_or_else(guessed),
            explicit: explicit.is_some(),
            public,
            private: scope("private"),
            no_store: said.has("no-store") || said.is_excessive(),
            must_understand: said.has("must-understand"),
            no_cache: scope("no-cache"),
            // A transformation that the one field forbids is not made good by the other.
            no_transform: said.has("no-transform")
                || (targeted && Directives::of(headers).has("no-transform")),
            shareable: public || must_revalidate || has_s_maxage,
            forbids_stale: strict || (has_s_maxage && !options.windows_beside_s_maxage),
            stale_while_revalidate: window("stale-while-revalidate"),
            stale_if_error: window("stale-if-error"),
        }
    }

    /// How old the response is, in seconds (RFC 9111, 4.2.3). A clock that went back makes it no
    /// younger than it was when it came.
    pub(crate) fn age(&self, now: Timestamp) -> u64 {
        self.initial_age
            .saturating_add(now.since(self.received))
            .min(MAX_DELTA)
    }

    /// For how much longer it is fresh, in seconds: nought or less if it is stale.
    pub(crate) fn ttl(&self, now: Timestamp) -> i64 {
        signed(self.lifetime).saturating_sub(signed(self.age(now)))
    }
}

fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// What cannot be understood is no lifetime at all, so that the response is stale (RFC 9111, 4.2.1).
fn lifetime(said: Delta) -> Option<u64> {
    match said {
        Delta::Absent => None,
        Delta::Seconds(seconds) => Some(seconds),
        Delta::Bare | Delta::Invalid => Some(0),
    }
}

fn expires_after(headers: &HeaderMap, date: Timestamp, now: Timestamp) -> u64 {
    let expires = only(headers, &EXPIRES).and_then(|at| Timestamp::parse(at.as_bytes(), now));
    expires.map_or(0, |at| at.since(date).min(MAX_DELTA))
}

fn initial_age(headers: &HeaderMap, date: Timestamp, times: Times) -> u64 {
    let apparent = times.response.since(date);
    let delay = times.response.since(times.request);
    let corrected = age(headers).unwrap_or(0).saturating_add(delay);
    apparent.max(corrected).min(MAX_DELTA)
}

/// Statuses whose responses may be stored though they do not say for how long (RFC 9110, 15.1).
pub(crate) fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// Statuses whose meaning for a cache is known here: those of RFC 9110.
pub(crate) fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=206 | 300..=305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505
    )
}

/// Statuses that are about this one request, or about the connection it came by, and must not be
/// anybody else's answer.
pub(crate) fn is_about_the_request(status: StatusCode) -> bool {
    status.is_informational() || matches!(status.as_u16(), 304 | 407 | 412 | 416 | 417 | 425)
}
