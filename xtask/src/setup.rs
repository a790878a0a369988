//! `cargo xtask setup`: finds what the other commands need and installs what is missing.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};

use crate::steps;
use crate::workspace::Workspace;

/// A row of the table.
struct Row {
    what: &'static str,
    state: String,
    /// Whether nothing works without it.
    needed: bool,
    found: bool,
}

/// Finds or installs everything, prints a table and fails if something needed is missing.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    require_compiler()?;
    let mut rows = vec![
        component("rustfmt", &["fmt", "--version"]),
        component("clippy", &["clippy", "--version"]),
        program("git", "--version", true, "the checks list files by it"),
        program(
            "cargo-nextest",
            "--version",
            false,
            "tests run by `cargo test` instead",
        ),
        program(
            "cargo-deny",
            "--version",
            false,
            "licences and sources are not checked",
        ),
    ];
    steps::run(&mut workspace.cargo(&[
        "build",
        "--quiet",
        "-p",
        "pitchey-testkit",
        "--no-default-features",
        "--bin",
        "with-services",
    ]))?;
    // Starting the servers is the proof, and installs them where that is possible.
    let mut command = workspace.program("with-services");
    let output = command.stderr(Stdio::inherit()).output()?;
    rows.push(Row {
        what: "Postgres, Redis",
        state: if output.status.success() {
            "start".into()
        } else {
            "do not start".into()
        },
        needed: true,
        found: output.status.success(),
    });
    print!("{}", table(&rows));
    ensure!(
        rows.iter().all(|row| row.found || !row.needed),
        "something that is needed is missing"
    );
    Ok(())
}

/// Fails early and plainly where cargo would fail late: several crates compile C.
pub(crate) fn require_compiler() -> Result<()> {
    let named = std::env::var_os("CC").is_some_and(|compiler| !compiler.is_empty());
    if named || is_installed("cc") {
        return Ok(());
    }
    bail!(
        "a C compiler is needed, as `cc` or named by CC (Debian, Ubuntu: apt-get install gcc libc6-dev)"
    )
}

/// Whether a program of this name is on the search path.
pub(crate) fn is_installed(name: &str) -> bool {
    find(name).is_some()
}

/// Whether tests can run by `cargo nextest`.
pub(crate) fn has_nextest() -> bool {
    is_installed("cargo-nextest")
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

/// A part of the tool chain, which rustup installs.
fn component(name: &'static str, probe: &[&str]) -> Row {
    let works = || first_line(Command::new("cargo").args(probe));
    let mut state = works();
    if state.is_none() && is_installed("rustup") {
        let install = Command::new("rustup")
            .args(["component", "add", name])
            .status();
        if install.is_ok_and(|status| status.success()) {
            state = works().map(|version| format!("installed: {version}"));
        }
    }
    Row {
        what: name,
        found: state.is_some(),
        state: state.unwrap_or_else(|| format!("missing: rustup component add {name}")),
        needed: true,
    }
}

fn program(name: &'static str, probe: &str, needed: bool, without: &str) -> Row {
    let state = first_line(Command::new(name).arg(probe));
    Row {
        what: name,
        found: state.is_some(),
        state: state.unwrap_or_else(|| format!("missing: {without}")),
        needed,
    }
}

/// The first line that a working command prints.
fn first_line(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output.status.success().then_some(())?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(printed.lines().next().unwrap_or_default().to_owned())
}

fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.what.len()).max().unwrap_or(0);
    let mut table = String::new();
    for row in rows {
        let mark = match (row.found, row.needed) {
            (true, _) => "ok",
            (false, true) => "!!",
            (false, false) => "--",
        };
        let _ = writeln!(table, "{mark}  {:<width$}  {}", row.what, row.state);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_what_is_needed_from_what_is_not() {
        let row = |what, needed, found| Row {
            what,
            state: "x".into(),
            needed,
            found,
        };
        let rows = [
            row("a", true, true),
            row("long", true, false),
            row("b", false, false),
        ];
        assert_eq!(table(&rows), "ok  a     x\n!!  long  x\n--  b     x\n");
    }
}
