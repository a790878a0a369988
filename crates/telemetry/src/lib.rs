//! What the native processes say about themselves: log lines through `tracing`, figures through
//! `metrics`, rendered in Prometheus' text format.
//!
//! Libraries only use the facades; a binary calls [`init`] and [`Metrics::install`] once.

mod http;
mod json_lines;
mod log_queue;
mod logging;
mod process;
mod recorder;

pub use http::{HttpMetrics, UNMATCHED_ROUTE};
pub use logging::{LogConfig, LogError, LogFormat, LogGuard, init};
pub use recorder::{Build, Metrics, MetricsError, UPKEEP_INTERVAL, names};
