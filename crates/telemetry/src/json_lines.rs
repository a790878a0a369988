//! An event as one line of JSON.
//!
//! The formatter of `tracing_subscriber` writes the same fields, and checks and copies each piece of them
//! several times on the way: a third of what an answer from memory costs went into its line of the access log.

use std::cell::RefCell;
use std::fmt;
use std::io::Write as _;

use serde::Serialize;
use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// `{"timestamp":…,"level":…,<the event's fields>,"target":…,"span":{<its fields>,"name":…}}`, without the
/// span where there is none. The span's fields are to be formatted as JSON, too.
pub(crate) struct JsonLines;

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Longer lines give their memory back.
const KEPT: usize = 16 * 1024;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // What a field prints may log itself; then that line has a buffer of its own.
        let mut line = LINE.with(RefCell::take);
        line.clear();
        write(&mut line, now(), context, event);
        let written = str::from_utf8(&line)
            .map_err(|_| fmt::Error)
            .and_then(|line| writer.write_str(line));
        if line.capacity() <= KEPT {
            LINE.set(line);
        }
        written
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a log line tells the time of the machine, whatever time the code is in"
)]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn write<S, N>(
    line: &mut Vec<u8>,
    now: OffsetDateTime,
    context: &FmtContext<'_, S, N>,
    event: &Event<'_>,
) where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    line.extend_from_slice(b"{\"timestamp\":\"");
    timestamp(line, now);
    line.extend_from_slice(b"\",\"level\":\"");
    let metadata = event.metadata();
    line.extend_from_slice(metadata.level().as_str().as_bytes());
    line.push(b'"');
    event.record(&mut Fields(line));
    field(line, "target", metadata.target());
    let span = match event.parent() {
        Some(parent) => context.span(parent),
        None if event.is_root() => None,
        None => context.lookup_current(),
    };
    if let Some(span) = span {
        line.extend_from_slice(b",\"span\":{");
        let extensions = span.extensions();
        let fields = extensions.get::<FormattedFields<N>>();
        let fields = fields.map_or("", |fields| fields.fields.as_str());
        let inner = fields
            .strip_prefix('{')
            .and_then(|all| all.strip_suffix('}'));
        if let Some(inner) = inner.filter(|inner| !inner.is_empty()) {
            line.extend_from_slice(inner.as_bytes());
            line.push(b',');
        }
        line.extend_from_slice(b"\"name\":");
        put(line, span.name());
        line.push(b'}');
    }
    line.extend_from_slice(b"}\n");
}

/// RFC 3339 with microseconds.
fn timestamp(line: &mut Vec<u8>, now: OffsetDateTime) {
    let (year, month, day) = now.to_calendar_date();
    let (hour, minute, second, micros) = now.to_hms_micro();
    let month = u8::from(month);
    let written = write!(
        line,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"
    );
    written.expect("memory takes everything");
}

fn field(line: &mut Vec<u8>, name: &str, value: impl Serialize) {
    line.push(b',');
    put(line, name);
    line.push(b':');
    put(line, value);
}

fn put(line: &mut Vec<u8>, value: impl Serialize) {
    serde_json::to_writer(line, &value)
        .expect("texts and numbers are JSON, and memory takes everything");
}

struct Fields<'a>(&'a mut Vec<u8>);

impl Visit for Fields<'_> {
    fn record_str(&mut self, name: &Field, value: &str) {
        field(self.0, name.name(), value);
    }

    fn record_bool(&mut self, name: &Field, value: bool) {
        field(self.0, name.name(), value);
    }

    fn record_i64(&mut self, name: &Field, value: i64) {
        field(self.0, name.name(), value);
    }

    fn record_u64(&mut self, name: &Field, value: u64) {
        field(self.0, name.name(), value);
    }

    fn record_f64(&mut self, name: &Field, value: f64) {
        field(self.0, name.name(), value);
    }

    fn record_debug(&mut self, name: &Field, value: &dyn fmt::Debug) {
        field(self.0, name.name(), format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `log` writes, by our format and by the one of the library.
    fn lines(log: impl Fn()) -> [Vec<Value>; 2] {
        let written = [Written::default(), Written::default()];
        let [ours, theirs] = written.clone();
        let ours = tracing_subscriber::fmt::layer()
            .json()
            .event_format(JsonLines)
            .with_writer(move || ours.clone());
        let theirs = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(move || theirs.clone());
        let subscriber = tracing_subscriber::registry().with(ours).with(theirs);
        tracing::subscriber::with_default(subscriber, log);
        written.map(|written| {
            let bytes = written.0.lock().expect("not poisoned").clone();
            let text = String::from_utf8(bytes).expect("text");
            let lines = text.lines().map(|line| {
                let mut line: Value = serde_json::from_str(line).expect("a line of JSON");
                line.as_object_mut().expect("an object").remove("timestamp");
                line
            });
            lines.collect()
        })
    }

    #[test]
    fn a_line_says_what_the_library_would_say() {
        let [ours, theirs] = lines(|| {
            tracing::info!("plain");
            tracing::warn!(target: "elsewhere", count = 3_u64, less = -3, ratio = 0.25, ok = true, "{} \"q\"\n\u{1}", 1);
            tracing::error!(error = %"a\tb\\", debug = ?Some("x"), "ü");
            let span = tracing::info_span!("request", request_id = "a\"b", n = 1);
            span.in_scope(|| tracing::info!(text = "in a span", "inside"));
            tracing::info_span!("bare").in_scope(|| tracing::info!("in a span without fields"));
            tracing::info!(nan = f64::NAN, infinite = f64::INFINITY, "no numbers");
        });
        assert_eq!(ours, theirs);
        assert_eq!(ours.len(), 6);
    }

    #[test]
    fn what_stands_for_itself_has_no_span() {
        let [ours, _] = lines(|| {
            tracing::info_span!("request").in_scope(|| tracing::info!(parent: None, "over"));
        });
        let target = module_path!();
        assert_eq!(
            ours,
            [json!({"level": "INFO", "message": "over", "target": target})]
        );
    }

    #[test]
    fn what_logs_while_it_is_printed_has_a_line_of_its_own() {
        struct Chatty;
        impl fmt::Display for Chatty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                tracing::info!("from within");
                f.write_str("chatty")
            }
        }
        let [ours, _] = lines(|| tracing::info!(value = %Chatty, "around"));
        assert!(
            ours.iter().any(|line| line["value"] == "chatty"),
            "{ours:?}"
        );
    }

    #[test]
    fn the_time_is_in_microseconds() {
        let mut line = Vec::new();
        timestamp(
            &mut line,
            time::macros::datetime!(2026-01-02 03:04:05.000_678_9 UTC),
        );
        assert_eq!(line, b"2026-01-02T03:04:05.000678Z");
    }
}
