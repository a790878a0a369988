//! The Prometheus recorder behind the `metrics` facade, and the names of what it records.

use std::fmt::Write as _;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::process;

/// The names of the figures, as Prometheus knows them.
pub mod names {
    /// How long requests took, until the last byte was handed to the connection. Labels: `method`,
    /// `route` (the template, never the path), `status`.
    pub const HTTP_REQUEST_DURATION: &str = "http_server_request_duration_seconds";
    /// Requests that are being answered.
    pub const HTTP_ACTIVE_REQUESTS: &str = "http_server_active_requests";
    /// Open connections. Label: `listener`. At the configured limit, further clients wait.
    pub const HTTP_CONNECTIONS: &str = "http_server_connections";
    /// How long statements took, seen from the client. Label: `statement` (its name in `sql`).
    pub const DB_STATEMENT_DURATION: &str = "db_statement_duration_seconds";
    /// How long it took an edge until an answer's header was there, the origin included. Labels: `class`
    /// (what kind of request), `cache` (what `Cache-Status` comes to), `status` (`2xx` and so on).
    pub const EDGE_ANSWER_DURATION: &str = "edge_answer_duration_seconds";
    /// Log lines that were dropped because standard error was not read fast enough.
    pub const LOG_LINES_DROPPED: &str = "log_lines_dropped_total";
}

/// From half a millisecond to the deadline of a request, dense where the targets lie.
const REQUEST_BUCKETS: [f64; 15] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0,
];

/// From a tenth of a millisecond to the statement timeout.
const STATEMENT_BUCKETS: [f64; 15] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// For every other duration (transactions, hashes, duties): from a millisecond to minutes.
const OTHER_BUCKETS: [f64; 15] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0,
];

/// How often [`Metrics::upkeep`] is due: recorded durations wait in memory until then.
pub const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Which program this is.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// The name of the binary.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
}

/// Why metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// A recorder that is not ours was installed before.
    #[error("metrics recorder cannot be installed")]
    Install(#[source] BuildError),
}

/// The figures of this process. Clones are cheap and show the same figures.
#[derive(Clone)]
pub struct Metrics {
    recorder: PrometheusHandle,
    build: Build,
}

impl Metrics {
    /// Installs the recorder for the whole process. A second call returns the first one's figures,
    /// so that several servers can run in one process, as tests have it.
    pub fn install(build: Build) -> Result<Self, MetricsError> {
        static INSTALLED: OnceLock<Metrics> = OnceLock::new();
        static INSTALLING: Mutex<()> = Mutex::new(());

        let _one_at_a_time = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = INSTALLED.get() {
            return Ok(metrics.clone());
        }
        let recorder = builder()
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(MetricsError::Install)?;
        describe();
        Ok(INSTALLED.get_or_init(|| Self { recorder, build }).clone())
    }

    /// All figures in Prometheus' text format (version 0.0.4).
    pub fn render(&self) -> String {
        let mut text = self.recorder.render();
        let Build { name, version } = self.build;
        write!(
            text,
            "# HELP pitchey_build_info Which program this is; always 1.\n\
             # TYPE pitchey_build_info gauge\n\
             pitchey_build_info{{binary=\"{name}\",version=\"{version}\"}} 1\n\n"
        )
        .expect("a String takes everything");
        process::render(&mut text);
        text
    }

    /// Moves recorded durations into their buckets. Call it every [`UPKEEP_INTERVAL`].
    pub fn upkeep(&self) {
        self.recorder.run_upkeep();
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    let full = |name: &str| Matcher::Full(name.to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(full(names::HTTP_REQUEST_DURATION), &REQUEST_BUCKETS)?
        .set_buckets_for_metric(full(names::DB_STATEMENT_DURATION), &STATEMENT_BUCKETS)?
        .set_buckets_for_metric(full(names::EDGE_ANSWER_DURATION), &STATEMENT_BUCKETS)?
        .set_buckets_for_metric(
            Matcher::Suffix("_duration_seconds".to_owned()),
            &OTHER_BUCKETS,
        )
}

fn describe() {
    describe_histogram!(
        names::HTTP_REQUEST_DURATION,
        "How long requests took, until the last byte was handed to the connection."
    );
    describe_gauge!(
        names::HTTP_ACTIVE_REQUESTS,
        "Requests that are being answered."
    );
    describe_gauge!(names::HTTP_CONNECTIONS, "Open connections.");
    describe_histogram!(
        names::DB_STATEMENT_DURATION,
        "How long statements took, seen from the client."
    );
    describe_histogram!(
        names::EDGE_ANSWER_DURATION,
        "Until an answer's header was there, the origin included."
    );
    describe_counter!(
        names::LOG_LINES_DROPPED,
        "Log lines dropped because standard error was not read fast enough."
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rendered_in_the_buckets_of_their_metric() {
        let recorder = builder().expect("buckets are given").build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!(names::HTTP_REQUEST_DURATION, "route" => "/api/pitches")
                .record(0.03);
            metrics::histogram!(names::DB_STATEMENT_DURATION, "statement" => "pitches/browse")
                .record(0.0002);
            metrics::histogram!("password_job_duration_seconds", "operation" => "verify")
                .record(0.03);
        });
        handle.run_upkeep();
        let text = handle.render();
        for line in [
            r#"http_server_request_duration_seconds_bucket{route="/api/pitches",le="0.02"} 0"#,
            r#"http_server_request_duration_seconds_bucket{route="/api/pitches",le="0.035"} 1"#,
            r#"http_server_request_duration_seconds_count{route="/api/pitches"} 1"#,
            r#"db_statement_duration_seconds_bucket{statement="pitches/browse",le="0.0001"} 0"#,
            r#"db_statement_duration_seconds_bucket{statement="pitches/browse",le="0.00025"} 1"#,
            r#"password_job_duration_seconds_bucket{operation="verify",le="0.025"} 0"#,
            r#"password_job_duration_seconds_bucket{operation="verify",le="0.05"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn installing_twice_gives_the_same_figures() {
        let build = Build {
            name: "test",
            version: "1.2.3",
        };
        let first = Metrics::install(build).expect("first");
        let second = Metrics::install(build).expect("second");
        metrics::counter!("installed_twice_total").increment(2);
        for metrics in [first, second] {
            let text = metrics.render();
            assert!(text.contains("installed_twice_total 2\n"), "{text}");
            assert!(
                text.contains("pitchey_build_info{binary=\"test\",version=\"1.2.3\"} 1\n"),
                "{text}"
            );
            assert!(text.contains("# TYPE process_cpu_seconds_total counter\n"));
        }
    }

    #[test]
    fn buckets_rise() {
        for buckets in [REQUEST_BUCKETS, STATEMENT_BUCKETS, OTHER_BUCKETS] {
            assert!(buckets.is_sorted_by(|low, high| low < high), "{buckets:?}");
        }
    }
}
