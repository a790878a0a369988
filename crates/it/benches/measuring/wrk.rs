//! The load: `wrk`, a closed loop over a few connections that stay open, on a core of its own.

use crate::cores;
use anyhow::{Context as _, Result, bail, ensure};
use pitchey_testkit::guard::Guard;
use pitchey_testkit::process::Process;
use rustix::process::Signal;
use serde::Deserialize;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What `wrk` runs at the end: its figures in a form to be read. Times are in microseconds.
pub(crate) const REPORT: &str = r#"
done = function(summary, latency, requests)
  local failed = summary.errors
  io.write(string.format(
    '\nFIGURES {"requests":%d,"p50_us":%d,"p99_us":%d,"errors":%d}\n',
    summary.requests, latency:percentile(50), latency:percentile(99),
    failed.connect + failed.read + failed.write + failed.status + failed.timeout))
end
"#;

/// Beside the length of a window: to start, and to wait for the last answers.
const SLACK: Duration = Duration::from_secs(15);

/// From this share of a core on, whoever computes that much is what holds the others up.
const BUSY: f64 = 0.9;

/// What one server did in one turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) seconds: f64,
    /// What the server computed, in seconds.
    pub(crate) server_s: f64,
    /// What the load computed, in seconds.
    pub(crate) load_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Window {
    pub(crate) fn per_cpu_second(&self) -> f64 {
        // A turn in which the server computed less than the kernel counts tells nothing.
        self.requests as f64 / self.server_s.max(0.01)
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    pub(crate) fn server_share(&self) -> f64 {
        self.server_s / self.seconds
    }

    pub(crate) fn load_share(&self) -> f64 {
        self.load_s / self.seconds
    }
}

/// Who had no time left, by these shares of a core.
pub(crate) fn held_up_by(server_share: f64, load_share: f64) -> &'static str {
    if server_share >= BUSY {
        "the server"
    } else if load_share >= BUSY {
        "THE LOAD"
    } else {
        "OTHERS ON THE MACHINE"
    }
}

#[derive(Debug, Deserialize)]
struct Figures {
    requests: u64,
    p50_us: u64,
    p99_us: u64,
    errors: u64,
}

/// Whether there is what the load needs, or what to do about it.
pub(crate) fn available() -> Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    ensure!(
        cores >= 2,
        "server and load need a core each, there is {cores}"
    );
    let wrk = Command::new("wrk")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    wrk.context("there is no `wrk`; `apt-get install wrk` installs it")?;
    Ok(())
}

/// A request to `wrk` for a turn of this length; the address is for the caller to add, last.
pub(crate) fn command(connections: u32, length: Duration, script: &Path) -> Command {
    let mut wrk = Command::new("wrk");
    wrk.args(["--threads", "1", "--timeout", "5s", "--connections"])
        .arg(connections.to_string())
        .arg("--duration")
        .arg(format!("{}s", length.as_secs()))
        .arg("--script")
        .arg(script);
    wrk
}

/// One turn of the server whose process this is.
pub(crate) fn run(
    wrk: Command,
    server: u32,
    length: Duration,
    log: &Path,
    guard: &Guard,
) -> Result<Window> {
    std::fs::write(log, "")?;
    let by_children = cores::computed_by_children()?;
    let by_server = cores::computed(server)?;
    let started = Instant::now();
    let log = cores::on_core(cores::LOAD, || {
        let mut process = Process::spawn("wrk", wrk, log, Signal::TERM, guard)?;
        let status = process.wait(length + SLACK)?;
        let log = process.log();
        ensure!(status.success(), "wrk ended with {status}:\n{log}");
        Ok(log)
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let by_server = cores::computed(server)?.saturating_sub(by_server);
    let by_children = cores::computed_by_children()?.saturating_sub(by_children);
    let Some(figures) = log.lines().find_map(|line| line.strip_prefix("FIGURES ")) else {
        bail!("wrk told no figures:\n{log}");
    };
    let figures: Figures = serde_json::from_str(figures)?;
    ensure!(figures.requests > 0, "no request was answered");
    Ok(Window {
        requests: figures.requests,
        errors: figures.errors,
        seconds,
        server_s: by_server.as_secs_f64(),
        load_s: by_children.as_secs_f64(),
        p50_ms: figures.p50_us as f64 / 1000.0,
        p99_ms: figures.p99_us as f64 / 1000.0,
    })
}
