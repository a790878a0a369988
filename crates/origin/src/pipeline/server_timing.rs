//! Telling the client where the time went (W3C Server Timing).

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

static SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Adds the time that the answer took, as metric `app` in milliseconds.
pub(super) fn insert(headers: &mut HeaderMap, elapsed: Duration) {
    let text = format!("app;dur={:.3}", elapsed.as_secs_f64() * 1000.0);
    let value = HeaderValue::try_from(text).expect("digits are a header value");
    // Appended: what a handler measured (its database time) stays.
    headers.append(SERVER_TIMING.clone(), value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_in_milliseconds_with_microseconds() {
        let mut headers = HeaderMap::new();
        insert(&mut headers, Duration::from_micros(12_345));
        assert_eq!(headers["server-timing"], "app;dur=12.345");
    }

    #[test]
    fn what_a_handler_measured_stays() {
        let mut headers = HeaderMap::new();
        headers.insert("server-timing", HeaderValue::from_static("db;dur=1"));
        insert(&mut headers, Duration::ZERO);
        let all: Vec<_> = headers.get_all("server-timing").iter().collect();
        assert_eq!(all, ["db;dur=1", "app;dur=0.000"]);
    }
}
