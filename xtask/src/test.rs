//! `cargo xtask test`: all tests, with one Postgres and one Redis for the whole run.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::steps::{self, Steps};
use crate::workspace::Workspace;
use crate::{dev, worker};

/// Runs all tests, or those that the arguments of `cargo nextest run` choose.
pub(crate) fn run_all(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    // Programs and tests together, so that what they depend on is built once and for both.
    steps.step("build programs and tests", || {
        steps::run(&mut workspace.cargo(&["build", "--workspace", "--bins", "--tests"]))
    })?;
    steps.step("documentation tests", || {
        steps::run(&mut workspace.cargo(&["test", "--workspace", "--doc", "--quiet"]))
    })?;
    let edge = steps.step("build the edge on Workers", || on_workers(workspace))?;
    steps.step("tests", || {
        let mut command = with_services(workspace);
        command.args(runner()).arg("--workspace");
        command.envs(edge);
        // They have just been built: tests that start them need not look again.
        command.env("PITCHEY_BIN_DIR", workspace.target.join("debug"));
        steps::run(&mut command)
    })
}

/// The command.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    let mut steps = Steps::new();
    if arguments.is_empty() {
        return run_all(workspace, &mut steps);
    }
    let argument = |wanted: &[&str]| {
        let mut words = arguments.iter().map(|argument| argument.to_string_lossy());
        words.any(|word| wanted.iter().any(|wanted| word.starts_with(wanted)))
    };
    let some_packages = argument(&["-p", "--package"]);
    // The integration tests alone start the programs of the platform.
    let with_programs = !some_packages || argument(&["pitchey-it", "-ppitchey-it"]);
    steps.step("build the programs that the tests start", || {
        let mut command = workspace.cargo(&["build", "--bins"]);
        let packages = if with_programs {
            &dev::PACKAGES[..]
        } else {
            &["pitchey-testkit"]
        };
        command.args(packages.iter().flat_map(|package| ["-p", package]));
        steps::run(&mut command)
    })?;
    let mut command = with_services(workspace);
    command.args(runner());
    if with_programs {
        command.env("PITCHEY_BIN_DIR", workspace.target.join("debug"));
    }
    // Its module takes a while to link: not for who tests something else.
    let all_or_edge = arguments.len() <= 2 || argument(&["edge", "hub", "worker"]);
    if with_programs && all_or_edge {
        let edge = steps.step("build the edge on Workers", || on_workers(workspace))?;
        command.envs(edge);
    }
    if !some_packages {
        command.arg("--workspace");
    }
    steps::run(command.args(arguments))
}

/// What the tests of the edge on Workers must know, where it can be built and run.
fn on_workers(workspace: &Workspace) -> Result<Vec<(&'static str, PathBuf)>> {
    if let Some(missing) = worker::missing() {
        eprintln!("skipped: the edge on Workers, because {missing}");
        return Ok(Vec::new());
    }
    worker::both_built(workspace)
}

/// The program that runs a command with servers of its own.
fn with_services(workspace: &Workspace) -> Command {
    let mut command = workspace.program("with-services");
    command.arg("--");
    command
}

/// `cargo nextest` where it is installed, else `cargo test`.
fn runner() -> [&'static str; 3] {
    if crate::setup::has_nextest() {
        ["cargo", "nextest", "run"]
    } else {
        ["cargo", "test", "--quiet"]
    }
}
