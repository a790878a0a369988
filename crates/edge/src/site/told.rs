//! What answers say of how they came about.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use pitchey_cache::{Answer, From, State};
use pitchey_http_cache::CACHE_STATUS;
use pitchey_runtime::Monotonic;

use super::page::{Page, Place};

const X_CACHE_STATUS: HeaderName = HeaderName::from_static("x-cache-status");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// That nothing was looked up.
pub(super) fn bypass(headers: &mut HeaderMap, name: &str, changes: bool) {
    let why = if changes { "method" } else { "bypass" };
    tell(headers, "BYPASS", &format!("{name}; fwd={why}"));
}

/// Where a kept answer came from.
pub(super) fn kept(headers: &mut HeaderMap, name: &str, answer: &Answer<Page>, now: Monotonic) {
    let ttl = answer.entry.fresh_for(now).as_secs();
    let place = answer.value().place;
    let place = place.filter(|_| answer.from == From::Source);
    if let Some(Place { tier, ttl, instead }) = place {
        let (word, how) = match (instead, ttl) {
            (true, _) => ("STALE", "hit; fwd=stale".to_owned()),
            (false, 0..) => ("HIT", format!("hit; ttl={ttl}")),
            (false, _) => ("STALE", format!("hit; ttl={ttl}")),
        };
        return tell(headers, word, &format!("{name}; {how}; detail={tier}"));
    }
    let (word, how) = match (answer.state, answer.from) {
        (State::Fresh, From::Memory | From::Shared) => {
            ("HIT", format!("hit; ttl={ttl}; detail=memory"))
        }
        (State::Fresh, From::Coalesced) => ("HIT", format!("fwd=miss; collapsed; ttl={ttl}")),
        (State::Fresh, From::Source) => ("MISS", format!("fwd=miss{}", detail(answer.value()))),
        (State::Stale, _) => {
            let over = answer.entry.age(now).as_secs().max(1);
            ("STALE", format!("hit; ttl=-{over}; detail=memory"))
        }
        (State::StaleOnError | State::Unverified, _) => {
            ("STALE", "hit; fwd=stale; detail=memory".to_owned())
        }
    };
    if matches!(answer.from, From::Coalesced | From::Source) {
        passed(headers, answer.value());
    }
    tell(headers, word, &format!("{name}; {how}"));
}

/// How long it was looked for beyond memory, and what lies there waited for, but for who gave it at last.
pub(super) fn looked(headers: &mut HeaderMap, answer: &Answer<Page>, looked: Option<Duration>) {
    let Some(looked) = looked else { return };
    let page = answer.value();
    // What a tier has kept tells how long the origin took at its time.
    let given = page.exchange.took.filter(|_| page.place.is_none());
    lasted(
        headers,
        "cache",
        looked.saturating_sub(given.unwrap_or_default()),
    );
}

/// Who gave a page, where it could have been another.
fn detail(page: &Page) -> String {
    let from = page.exchange.from.as_deref();
    from.map_or_else(String::new, |from| format!("; detail={from}"))
}

/// What the caches behind this one said, whose members come first (RFC 9211, 2), and how long that took.
pub(super) fn passed(headers: &mut HeaderMap, page: &Page) {
    if let Some(took) = page.exchange.took {
        let whom = if page.exchange.database {
            "db"
        } else {
            "origin"
        };
        lasted(headers, whom, took);
    }
    if let Some(passed) = &page.passed {
        headers.insert(CACHE_STATUS, passed.clone());
    }
}

/// That nothing was looked up for the sake of the one who asked.
pub(super) fn asked_anew(headers: &mut HeaderMap, name: &str, page: &Page) {
    let member = format!("{name}; fwd=request{}", detail(page));
    tell(headers, "BYPASS", &member);
}

/// The same, where nobody answered.
pub(super) fn unasked(headers: &mut HeaderMap, name: &str) {
    tell(headers, "BYPASS", &format!("{name}; fwd=request"));
}

/// That nothing could be served.
pub(super) fn missed(headers: &mut HeaderMap, name: &str) {
    tell(headers, "MISS", &format!("{name}; fwd=miss"));
}

fn tell(headers: &mut HeaderMap, word: &'static str, member: &str) {
    headers.insert(X_CACHE_STATUS, HeaderValue::from_static(word));
    if let Ok(member) = HeaderValue::from_str(member) {
        headers.append(CACHE_STATUS, member);
    }
}

/// How long it took here, origin included.
pub(super) fn timing(headers: &mut HeaderMap, took: Duration) {
    lasted(headers, "edge", took);
}

fn lasted(headers: &mut HeaderMap, what: &str, took: Duration) {
    let took = took.as_secs_f64() * 1000.0;
    if let Ok(value) = HeaderValue::try_from(format!("{what};dur={took:.3}")) {
        headers.append(SERVER_TIMING, value);
    }
}
