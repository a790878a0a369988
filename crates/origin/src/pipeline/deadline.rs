//! The time a request may take.

use std::time::Duration;

use http::HeaderMap;
use pitchey_api::Problem;
use pitchey_api::problem::Kind;

const X_REQUEST_TIMEOUT_MS: &str = "x-request-timeout-ms";

/// When to try again after a deadline has passed: at once would hit the same congestion.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The time that the client gives the request in `X-Request-Timeout-Ms`, at most `longest`, which
/// is also what holds without the header. A value that is not a whole number above zero is a
/// problem: the client counts on something we would not do.
pub(super) fn of(headers: &HeaderMap, longest: Duration) -> Result<Duration, Problem> {
    let mut values = headers.get_all(X_REQUEST_TIMEOUT_MS).into_iter();
    let Some(value) = values.next() else {
        return Ok(longest);
    };
    let milliseconds = value
        .to_str()
        .ok()
        .filter(|text| text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse::<u64>().ok())
        .filter(|milliseconds| *milliseconds > 0);
    match (milliseconds, values.next()) {
        (Some(milliseconds), None) => Ok(longest.min(Duration::from_millis(milliseconds))),
        _ => Err(Problem::new(
            Kind::MalformedRequest,
            "X-Request-Timeout-Ms is not one whole number above zero",
        )),
    }
}

/// The answer when the time is up.
pub(super) fn passed(timeout: Duration) -> Problem {
    tracing::warn!(timeout_ms = timeout.as_millis(), "deadline has passed");
    Problem::deadline_exceeded(RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(5);

    fn asked(values: &[&str]) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_str(value).expect("a header value");
            headers.append(X_REQUEST_TIMEOUT_MS, value);
        }
        of(&headers, LONGEST).ok()
    }

    #[test]
    fn without_the_header_the_longest_time_holds() {
        assert_eq!(asked(&[]), Some(LONGEST));
    }

    #[test]
    fn a_client_may_ask_for_less_but_not_for_more() {
        assert_eq!(asked(&["1"]), Some(Duration::from_millis(1)));
        assert_eq!(asked(&["250"]), Some(Duration::from_millis(250)));
        assert_eq!(asked(&["5001"]), Some(LONGEST));
        assert_eq!(asked(&["9999999999"]), Some(LONGEST));
    }

    #[test]
    fn what_is_no_time_is_a_problem() {
        for value in ["", "0", "-1", "+1", "1.5", "1s", "99999999999"] {
            assert_eq!(asked(&[value]), None, "{value}");
        }
        assert_eq!(asked(&["1", "1"]), None);
    }
}
