//! One line per request.

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
    tracing::info!(
        target: "access",
        // The line stands for itself, wherever the request happens to end.
        parent: None,
        method = entry.method,
        route = entry.route,
        path = &entry.path[..end],
        status = entry.status,
        duration_ms = (entry.duration.as_secs_f64() * 1_000_000.0).round() / 1000.0,
        bytes = entry.bytes,
        complete = entry.complete,
        request_id = entry.request_id,
        "request"
    );
}
