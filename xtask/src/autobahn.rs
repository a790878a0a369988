//! `cargo xtask autobahn`: the `WebSockets` of the hub before a foreign test suite.
//!
//! The Autobahn test suite runs on `CPython` 2.7 alone. Its cases of RFC 6455 must all pass; those of compression,
//! which the hub does not offer, are left out.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::json;

use crate::steps;
use crate::workspace::Workspace;

/// The last one that makes environments of Python 2.7.
const VIRTUALENV: &str = "virtualenv==20.21.1";

/// With the last of a part of it that is compiled in seconds: newer ones compile a compiler first.
const SUITE: [&str; 2] = ["autobahntestsuite==25.10.1", "wsaccel==0.6.2"];

/// How the suite calls the server.
const AGENT: &str = "hub";

/// Compression: its offer, and its parameters.
const LEFT_OUT: [&str; 2] = ["12.*", "13.*"];

/// How many cases are left then.
const CASES: usize = 301;

/// What the suite says of a case that nothing is wrong with.
const PASSES: [&str; 3] = ["OK", "NON-STRICT", "INFORMATIONAL"];

/// A case, as the suite judges it.
#[derive(Debug, Deserialize)]
struct Case {
    behavior: String,
    #[serde(rename = "behaviorClose")]
    behavior_close: String,
}

/// Runs the suite against `examples/echo` of the hub.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let home = workspace.target.join("autobahn");
    std::fs::create_dir_all(&home)?;
    let suite = suite(&home)?;
    let build = [
        "build",
        "--release",
        "-p",
        "pitchey-hub",
        "--example",
        "echo",
    ];
    steps::run(&mut workspace.cargo(&build))?;

    // Free just now; who takes it in between is told of by the server, which then ends.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let program = workspace.target.join("release/examples/echo");
    let mut server = Server(
        Command::new(program)
            .args(["--address", &address.to_string()])
            .spawn()
            .context("cannot start the server")?,
    );
    let reports = home.join("reports");
    let _ = std::fs::remove_dir_all(&reports);
    let spec = json!({
        "outdir": reports,
        "servers": [{"agent": AGENT, "url": format!("ws://{address}")}],
        "cases": ["*"],
        "exclude-cases": LEFT_OUT,
        "exclude-agent-cases": {},
    });
    let file = home.join("spec.json");
    std::fs::write(&file, spec.to_string())?;
    let mut command = Command::new(suite);
    command.args(["--mode", "fuzzingclient", "--spec"]);
    steps::run(command.arg(&file).current_dir(&home))?;
    ensure!(server.0.try_wait()?.is_none(), "the server has ended");

    let index = std::fs::read(reports.join("index.json")).context("there is no report")?;
    let index: BTreeMap<String, BTreeMap<String, Case>> = serde_json::from_slice(&index)?;
    let cases = index
        .get(AGENT)
        .context("the server is not in the report")?;
    judge(cases, CASES)
}

/// Prints how many cases came to what, and fails if one failed.
fn judge(cases: &BTreeMap<String, Case>, expected: usize) -> Result<()> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failed = Vec::new();
    for (name, case) in cases {
        *counts.entry(&case.behavior).or_default() += 1;
        let passes = |verdict: &str| PASSES.contains(&verdict);
        if !(passes(&case.behavior) && passes(&case.behavior_close)) {
            failed.push(format!(
                "{name}: {}, close {}",
                case.behavior, case.behavior_close
            ));
        }
    }
    let counts = counts
        .iter()
        .map(|(verdict, count)| format!("{count} {verdict}"));
    println!(
        "{} cases: {}",
        cases.len(),
        counts.collect::<Vec<_>>().join(", ")
    );
    ensure!(failed.is_empty(), "failed:\n  {}", failed.join("\n  "));
    ensure!(
        cases.len() == expected,
        "{} cases were run, not {expected}",
        cases.len()
    );
    Ok(())
}

/// Ends with this.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The suite's program, installed where it is not.
fn suite(home: &Path) -> Result<PathBuf> {
    let environment = home.join("python");
    let suite = environment.join("bin/wstest");
    if suite.is_file() {
        return Ok(suite);
    }
    let python = python2()?;
    let tools = home.join("tools");
    let venv = ["-m", "venv"];
    steps::run(Command::new("python3").args(venv).arg(&tools))
        .context("`python3` with its module `venv` is needed (Debian: python3-venv)")?;
    let install = ["install", "--quiet", "--disable-pip-version-check"];
    steps::run(
        Command::new(tools.join("bin/pip"))
            .args(install)
            .arg(VIRTUALENV),
    )?;
    let mut virtualenv = Command::new(tools.join("bin/virtualenv"));
    steps::run(
        virtualenv
            .args(["--quiet", "--python"])
            .arg(&python)
            .arg(&environment),
    )?;
    steps::run(
        Command::new(environment.join("bin/pip"))
            .args(install)
            .args(SUITE),
    )?;
    ensure!(suite.is_file(), "the suite has no `wstest`");
    Ok(suite)
}

/// Python 2.7: on the search path, or among pyenv's.
fn python2() -> Result<PathBuf> {
    let works = |program: &Path| {
        let tried = Command::new(program).arg("--version").output();
        tried.is_ok_and(|output| output.status.success())
    };
    let on_path = PathBuf::from("python2.7");
    if works(&on_path) {
        return Ok(on_path);
    }
    let pyenv = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| {
            let home = std::env::var_os("HOME")?;
            Some(PathBuf::from(home).join(".pyenv"))
        });
    let versions = pyenv.map(|pyenv| pyenv.join("versions"));
    let versions = versions.and_then(|versions| versions.read_dir().ok());
    for version in versions.into_iter().flatten().flatten() {
        let program = version.path().join("bin/python2.7");
        if works(&program) {
            return Ok(program);
        }
    }
    bail!("CPython 2.7 is needed: the suite runs on nothing newer (`pyenv install 2.7.18`)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(verdicts: &[(&str, &str)]) -> BTreeMap<String, Case> {
        let case = |(behavior, close): &(&str, &str)| Case {
            behavior: (*behavior).to_owned(),
            behavior_close: (*close).to_owned(),
        };
        let named = verdicts.iter().enumerate();
        named
            .map(|(n, one)| (format!("1.{n}"), case(one)))
            .collect()
    }

    #[test]
    fn what_failed_is_named_and_what_was_left_out_is_noticed() {
        let good = [("OK", "OK"), ("NON-STRICT", "INFORMATIONAL")];
        judge(&cases(&good), 2).expect("all is well");
        let short = judge(&cases(&good), 3).expect_err("one is not there");
        assert_eq!(short.to_string(), "2 cases were run, not 3");
        let bad = [("OK", "OK"), ("FAILED", "OK"), ("OK", "UNCLEAN")];
        let error = judge(&cases(&bad), 3).expect_err("two failed");
        let expected = "failed:\n  1.1: FAILED, close OK\n  1.2: OK, close UNCLEAN";
        assert_eq!(error.to_string(), expected);
    }
}
