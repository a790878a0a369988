//! What every answer tells browsers: take it for what it says it is, run nothing in it, frame it nowhere,
//! and tell nobody where a link was followed from.
//!
//! That the site is to be asked over TLS alone (`Strict-Transport-Security`) is for whatever ends TLS to
//! say, as RFC 6797 (section 7.2) allows it on nothing else.

use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};

/// For everything that is no page with scripts or styles of its own. `default-src` stands for `object-src`
/// and every other kind of source.
const POLICY: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox";

/// Adds what is missing: a page that needs a policy of its own has brought it.
pub(crate) fn protect(headers: &mut HeaderMap) {
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ] {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}
