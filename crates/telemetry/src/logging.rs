//! Log lines: one JSON object or one readable line per event, on standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::json_lines::JsonLines;
use crate::log_queue::{self, Drain};

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
    /// There is no thread to write on.
    #[error("no thread to write the log on")]
    Thread(#[source] io::Error),
}

/// Writes what is still queued when dropped: keep it until the end of `main`.
#[must_use = "dropping it ends the logging"]
pub struct LogGuard(#[expect(dead_code, reason = "is there to be dropped")] Drain);

/// Sets up logging for the whole process: events and panics go to standard error through a queue
/// and a thread of its own.
pub fn init(config: &LogConfig) -> Result<LogGuard, LogError> {
    let filter = EnvFilter::try_new(&config.filter).map_err(LogError::Filter)?;
    let (writer, drain) = log_queue::queue(io::stderr()).map_err(LogError::Thread)?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match config.format {
        LogFormat::Json => registry
            .with(
                layer
                    // Spans keep their fields as JSON, too.
                    .json()
                    .event_format(JsonLines),
            )
            .try_init(),
        LogFormat::Pretty => registry
            .with(layer.with_ansi(io::IsTerminal::is_terminal(&io::stderr())))
            .try_init(),
    }
    .map_err(LogError::AlreadySet)?;
    log_panics();
    Ok(LogGuard(drain))
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

#[cfg(test)]
mod tests {
    use super::*;

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
