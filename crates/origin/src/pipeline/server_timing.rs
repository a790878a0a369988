//! Telling the client where the time went (W3C Server Timing).

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use pitchey_store_pg::DatabaseUsage;

static SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
static X_DATABASE_TIME: HeaderName = HeaderName::from_static("x-database-time");

/// Adds the time that the answer took, as metric `app` in milliseconds.
pub(super) fn insert(headers: &mut HeaderMap, elapsed: Duration) {
    let text = format!("app;dur={}", Milliseconds(elapsed));
    let value = HeaderValue::try_from(text).expect("digits are a header value");
    // Appended: what a handler measured (its database time) stays.
    headers.append(SERVER_TIMING.clone(), value);
}

/// Adds what the answer cost the database: as metric `db` with the number of statements, and for those who
/// do not read metrics as `X-Database-Time`, both in milliseconds.
pub(super) fn insert_database(headers: &mut HeaderMap, usage: DatabaseUsage) {
    let DatabaseUsage { statements, time } = usage;
    if statements == 0 && time.is_zero() {
        // All that memory answers, and that is most.
        let nothing = HeaderValue::from_static("db;dur=0.000;desc=\"0 statements\"");
        headers.append(SERVER_TIMING.clone(), nothing);
        headers.insert(X_DATABASE_TIME.clone(), HeaderValue::from_static("0.000"));
        return;
    }
    let ms = Milliseconds(time);
    let noun = if statements == 1 {
        "statement"
    } else {
        "statements"
    };
    let metric = format!("db;dur={ms};desc=\"{statements} {noun}\"");
    let plain = "digits and plain words are a header value";
    headers.append(
        SERVER_TIMING.clone(),
        HeaderValue::try_from(metric).expect(plain),
    );
    let value = HeaderValue::try_from(ms.to_string()).expect(plain);
    headers.insert(X_DATABASE_TIME.clone(), value);
}

/// With three decimals; as a whole number of microseconds it is printed several times as fast.
struct Milliseconds(Duration);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = (self.0 + Duration::from_nanos(500)).as_micros();
        write!(f, "{}.{:03}", micros / 1000, micros % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_database_took_is_told_with_the_number_of_statements() {
        for (statements, micros, timing, time) in [
            (0, 0, "db;dur=0.000;desc=\"0 statements\"", "0.000"),
            (1, 1_500, "db;dur=1.500;desc=\"1 statement\"", "1.500"),
            (12, 12_345, "db;dur=12.345;desc=\"12 statements\"", "12.345"),
        ] {
            let mut headers = HeaderMap::new();
            let time_taken = Duration::from_micros(micros);
            insert_database(
                &mut headers,
                DatabaseUsage {
                    statements,
                    time: time_taken,
                },
            );
            assert_eq!(headers["server-timing"], timing);
            assert_eq!(headers["x-database-time"], time);
        }
    }

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
