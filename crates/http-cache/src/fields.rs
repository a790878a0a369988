//! Header fields as such: lists, single values, and those that belong to a connection only.

use std::borrow::Cow;

use http::header::{
    AGE, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderName,
    HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Of the connection, whether named in `Connection` or not (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    TRAILER,
    HTTP2_SETTINGS,
];

/// Of the proxy that the cache uses (RFC 9111, 3.1).
const OF_THE_PROXY: [HeaderName; 3] = [
    PROXY_AUTHENTICATE,
    PROXY_AUTHENTICATION_INFO,
    PROXY_AUTHORIZATION,
];

/// The members of a list, without the blanks around them and without empty ones. A comma in a quoted
/// string parts nothing.
pub(crate) fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        loop {
            let text = rest?;
            let end = end_of_member(text);
            rest = text.get(end + 1..);
            let member = text[..end].trim_ascii();
            if !member.is_empty() {
                return Some(member);
            }
        }
    })
}

fn end_of_member(text: &[u8]) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (place, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return place,
            _ => {}
        }
    }
    text.len()
}

/// The members of a list in all lines of a field.
pub(crate) fn listed<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|value| members(value.as_bytes()))
}

/// The value of a field that may have one only: `None` if it is missing or there are several that
/// differ.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).into_iter();
    let first = values.next()?;
    values.all(|other| other == first).then_some(first)
}

/// A number of seconds, or of bytes: digits alone. What is too large becomes the largest.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        Some(sum.saturating_mul(10).saturating_add(digit))
    })
}

/// What `Age` says, in seconds. Of a list the first member counts, and what is no number says nothing
/// (RFC 9111, 5.1).
pub(crate) fn age(headers: &HeaderMap) -> Option<u64> {
    let first = headers.get(AGE)?.as_bytes();
    let first = first.split(|byte| *byte == b',').next()?;
    number(first.trim_ascii()).map(|age| age.min(crate::time::MAX_DELTA))
}

pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// The names that `Connection` lists.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    listed(headers, &CONNECTION)
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        // A sender must not list it, since it is for everybody on the way; whoever does so wants to
        // hide from the next cache what this one was told.
        .filter(|name| *name != CACHE_CONTROL)
        .collect()
}

/// Removes what was meant for this connection only.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// The fields of a request as the origin will see them. Everything that is decided by a request's
/// fields is decided by these: else one could name a field in `Connection`, so that the origin does
/// not see what the response is then kept for.
pub(crate) fn end_to_end(headers: &HeaderMap) -> Cow<'_, HeaderMap> {
    if HOP_BY_HOP.iter().any(|name| headers.contains_key(name)) {
        let mut clean = headers.clone();
        remove_hop_by_hop(&mut clean);
        Cow::Owned(clean)
    } else {
        Cow::Borrowed(headers)
    }
}

/// Whether `Connection` names a field that decides how a response is cached. Such a response is not
/// stored: without the field it would be another one.
pub(crate) fn connection_hides(headers: &HeaderMap, decides: impl Fn(&HeaderName) -> bool) -> bool {
    headers.contains_key(CONNECTION) && named_by_connection(headers).iter().any(decides)
}

/// Removes what is not stored of a response: what belongs to the proxy, and what the body's own
/// description says better than a field could.
pub(crate) fn remove_unstored(headers: &mut HeaderMap) {
    for name in OF_THE_PROXY {
        headers.remove(name);
    }
    for name in [CONTENT_LENGTH, CONTENT_RANGE] {
        headers.remove(name);
    }
}

/// Sets a field. A map that holds as many fields as one can stays as it is: messages like that are made
/// to do harm, and are not stored.
pub(crate) fn put(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    let _ = headers.try_insert(name, value);
}

/// Adds a line to a field, as [`put`] does.
pub(crate) fn add(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    let _ = headers.try_append(name, value);
}
