//! One line per request.

use std::borrow::Cow;
use std::time::Duration;

/// Paths are logged up to this length; what is longer was never one of ours.
const MAX_PATH: usize = 256;

/// What the line says.
pub(super) struct Entry<'a> {
    pub(super) method: &'a str,
    /// The template, for grouping.
    pub(super) route: &'a str,
    /// The path without the query: search terms are the visitor's own business.
    pub(super) path: &'a str,
    pub(super) status: u16,
    pub(super) duration: Duration,
    /// Of the body, as sent.
    pub(super) bytes: u64,
    /// Whether the client got all of it.
    pub(super) complete: bool,
    pub(super) request_id: &'a str,
}

pub(super) fn write(entry: &Entry<'_>) {
    let end = entry.path.floor_char_boundary(MAX_PATH);
    let path = without_addresses(&entry.path[..end]);
    tracing::info!(
        target: "access",
        // The line stands for itself, wherever the request happens to end.
        parent: None,
        method = entry.method,
        route = entry.route,
        path = &*path,
        status = entry.status,
        duration_ms = (entry.duration.as_secs_f64() * 1_000_000.0).round() / 1000.0,
        bytes = entry.bytes,
        complete = entry.complete,
        request_id = entry.request_id,
        "request"
    );
}

/// The path without e-mail addresses. None of ours has one, but people try what they like.
fn without_addresses(path: &str) -> Cow<'_, str> {
    let has_address = |segment: &str| segment.contains('@') || segment.contains("%40");
    if !has_address(path) {
        return Cow::Borrowed(path);
    }
    let segments = path.split('/');
    let shown = segments.map(|segment| {
        if has_address(segment) {
            "[redacted]"
        } else {
            segment
        }
    });
    Cow::Owned(shown.collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e_mail_addresses_are_not_shown() {
        for (path, shown) in [
            ("/", "/"),
            ("/api/users/ann", "/api/users/ann"),
            ("/api/users/ann@archer.example", "/api/users/[redacted]"),
            ("/ann%40archer.example/x", "/[redacted]/x"),
        ] {
            assert_eq!(without_addresses(path), shown);
        }
    }
}
