//! The load: `wrk`, a closed loop over a few connections that stay open, on a core of its own.

use crate::answers::{ACCEPTED, Answers, Asked};
use crate::cores;
use crate::peers::Server;
use anyhow::{Context as _, Result, bail, ensure};
use pitchey_testkit::guard::Guard;
use pitchey_testkit::process::Process;
use rustix::process::Signal;
use serde::Deserialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What `wrk` runs at the end: its figures in a form to be read. Times are in microseconds.
const REPORT: &str = r#"
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

/// The load on one server after the other.
#[derive(Debug)]
pub(crate) struct Load<'a> {
    answers: &'a Answers,
    connections: u32,
    /// The script for one address, and the one for many.
    scripts: [PathBuf; 2],
    log: PathBuf,
    guard: &'a Guard,
}

impl<'a> Load<'a> {
    pub(crate) fn new(
        answers: &'a Answers,
        connections: u32,
        scratch: &Path,
        guard: &'a Guard,
    ) -> Result<Self> {
        let scripts = ["one.lua", "many.lua"].map(|name| scratch.join(name));
        std::fs::write(&scripts[0], REPORT)?;
        std::fs::write(&scripts[1], many(answers)?)?;
        Ok(Self {
            answers,
            connections,
            scripts,
            log: scratch.join("wrk.log"),
            guard,
        })
    }

    /// One turn of a server.
    pub(crate) fn run(
        &self,
        server: &Server,
        asked: Asked,
        coded: bool,
        length: Duration,
    ) -> Result<Window> {
        let many = asked == Asked::Many;
        let first = self.answers.targets(asked)[0];
        let mut wrk = Command::new("wrk");
        wrk.args(["--threads", "1", "--timeout", "5s", "--connections"])
            .arg(self.connections.to_string())
            .arg("--duration")
            .arg(format!("{}s", length.as_secs()))
            .arg("--script")
            .arg(&self.scripts[usize::from(many)]);
        if coded {
            wrk.arg("--header")
                .arg(format!("Accept-Encoding: {ACCEPTED}"));
        }
        wrk.arg(format!("http://{}{first}", server.address()));

        std::fs::write(&self.log, "")?;
        let by_children = cores::computed_by_children()?;
        let by_server = cores::computed(server.pid())?;
        let started = Instant::now();
        let log = cores::on_core(cores::LOAD, || {
            let mut process = Process::spawn("wrk", wrk, &self.log, Signal::TERM, self.guard)?;
            let status = process.wait(length + SLACK)?;
            let log = process.log();
            ensure!(status.success(), "wrk ended with {status}:\n{log}");
            Ok(log)
        })?;
        let seconds = started.elapsed().as_secs_f64();
        let by_server = cores::computed(server.pid())?.saturating_sub(by_server);
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
}

/// The script that asks for many addresses, in the order of the draws. Requests are written beforehand, so that
/// the load has as little to do for each as it can have.
fn many(answers: &Answers) -> Result<String> {
    let mut script = String::from("local targets = {\n");
    for target in answers.targets(Asked::Many) {
        writeln!(script, "\"{target}\",")?;
    }
    script.push_str(
        "}
local requests, place = {}, 0
init = function(args)
  for number, target in ipairs(targets) do requests[number] = wrk.format('GET', target) end
end
request = function()
  place = place % #requests + 1
  return requests[place]
end
",
    );
    script.push_str(REPORT);
    Ok(script)
}
