//! Log lines: one JSON object or one readable line per event, on standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, BufWriter};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Lines that wait for a slow reader of standard error. What does not fit is dropped and counted:
/// a stuck log collector must not stop the process.
const QUEUED_LINES: usize = 8192;

/// Lines that wait together are written together, up to so many bytes; nothing is held back for it.
const WRITTEN_BYTES: usize = 1 << 16;

/// The `log` section of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// What a line looks like.
    pub format: LogFormat,
    /// What is logged, in the syntax of `tracing_subscriber::EnvFilter`: `info`,
    /// `info,pitchey_store_pg=debug`.
    pub filter: String,
}

/// What a log line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object per line, for collectors.
    Json,
    /// Readable, with colours on a terminal.
    Pretty,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Json,
            filter: "info".to_owned(),
        }
    }
}

impl LogConfig {
    /// Adds a sentence to `problems` for everything that is wrong in this section.
    pub fn validate(&self, problems: &mut Vec<String>) {
        if let Err(error) = EnvFilter::try_new(&self.filter) {
            problems.push(format!("log.filter: {error}"));
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be parsed.
    #[error("log filter is not valid")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// The process already has a subscriber.
    #[error("logging is already set up")]
    AlreadySet(#[source] tracing_subscriber::util::TryInitError),
}

/// Writes what is still queued when dropped: keep it until the end of `main`.
#[derive(Debug)]
#[must_use = "dropping it ends the logging"]
pub struct LogGuard {
    _worker: WorkerGuard,
}

/// Sets up logging for the whole process: events and panics go to standard error through a queue
/// and a thread of its own.
pub fn init(config: &LogConfig) -> Result<LogGuard, LogError> {
    let filter = EnvFilter::try_new(&config.filter).map_err(LogError::Filter)?;
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(QUEUED_LINES)
        .thread_name("log")
        .finish(BufWriter::with_capacity(WRITTEN_BYTES, io::stderr()));
    let writer = QueueWriter::new(writer);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match config.format {
        LogFormat::Json => registry
            .with(
                layer
                    .json()
                    .flatten_event(true)
                    .with_current_span(true)
                    .with_span_list(false),
            )
            .try_init(),
        LogFormat::Pretty => registry
            .with(layer.with_ansi(io::IsTerminal::is_terminal(&io::stderr())))
            .try_init(),
    }
    .map_err(LogError::AlreadySet)?;
    log_panics();
    Ok(LogGuard { _worker: worker })
}

/// Makes a panic a log line like any other, with its place. Who catches the panic knows neither.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        let captured = backtrace.status() == BacktraceStatus::Captured;
        tracing::error!(
            location = panic.location().map(tracing::field::display),
            reason = panic.payload_as_str(),
            backtrace = captured.then(|| tracing::field::display(&backtrace)),
            "panicked"
        );
    }));
}

/// The queue, and how many of its dropped lines the metrics know already.
struct QueueWriter {
    queue: NonBlocking,
    dropped: ErrorCounter,
    reported: AtomicUsize,
}

impl QueueWriter {
    fn new(queue: NonBlocking) -> Self {
        Self {
            dropped: queue.error_counter(),
            queue,
            reported: AtomicUsize::new(0),
        }
    }

    fn report_dropped_lines(&self) {
        let dropped = self.dropped.dropped_lines();
        let reported = self.reported.fetch_max(dropped, Ordering::Relaxed);
        if let Some(new @ 1..) = dropped.checked_sub(reported) {
            metrics::counter!(crate::names::LOG_LINES_DROPPED).increment(new as u64);
        }
    }
}

impl<'a> MakeWriter<'a> for QueueWriter {
    type Writer = NonBlocking;

    fn make_writer(&'a self) -> NonBlocking {
        self.report_dropped_lines();
        self.queue.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn lines_that_a_stuck_reader_does_not_take_are_dropped_and_counted() {
        let stuck = Arc::new(Mutex::new(()));
        let held = stuck.lock().expect("not poisoned");
        let (queue, worker) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(1)
            .finish(Stuck(stuck.clone()));
        let writer = QueueWriter::new(queue);
        let recorder = PrometheusBuilder::new().build_recorder();
        let figures = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            // One line is with the reader, one in the queue; the last call reports the one before.
            for _ in 0..6 {
                writer.make_writer().write_all(b"line\n").expect("taken");
            }
        });
        drop(held);
        drop(worker);
        let text = figures.render();
        let dropped = text.lines().find_map(|line| {
            let value = line.strip_prefix("log_lines_dropped_total ")?;
            value.parse::<u64>().ok()
        });
        assert!(matches!(dropped, Some(3..=4)), "{text}");
    }

    /// A reader that takes nothing while the lock is held.
    struct Stuck(Arc<Mutex<()>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _held = self.0.lock().expect("not poisoned");
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_default_section_is_valid() {
        let mut problems = Vec::new();
        LogConfig::default().validate(&mut problems);
        assert!(problems.is_empty(), "{problems:?}");
    }

    #[test]
    fn a_bad_filter_is_a_problem() {
        let mut problems = Vec::new();
        let config = LogConfig {
            filter: "info,pitchey=loud".to_owned(),
            ..LogConfig::default()
        };
        config.validate(&mut problems);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("log.filter: "), "{problems:?}");
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let parsed = serde_json::from_str::<LogConfig>(r#"{"level": "info"}"#);
        let error = parsed.expect_err("there is no such field").to_string();
        assert!(error.contains("unknown field `level`"), "{error}");
    }

    #[test]
    fn formats_are_written_in_lower_case() {
        let config: LogConfig =
            serde_json::from_str(r#"{"format": "pretty"}"#).expect("a known format");
        assert_eq!(config.format, LogFormat::Pretty);
        assert!(serde_json::from_str::<LogConfig>(r#"{"format": "Pretty"}"#).is_err());
    }
}
