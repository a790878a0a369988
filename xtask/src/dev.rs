//! `cargo xtask dev` and `cargo xtask migrate`: builds the programs and hands over to them.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::steps::{self, Steps};
use crate::workspace::Workspace;
use crate::{setup, worker};

/// The packages with the programs of a development run.
pub(crate) const PACKAGES: [&str; 5] = [
    "pitchey-origin",
    "pitchey-gateway",
    "pitchey-hub",
    "pitchey-ops",
    "pitchey-testkit",
];

/// Builds what a development run consists of and becomes it, so that signals go straight there.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    setup::require_compiler()?;
    let mut steps = Steps::new();
    steps.step("build", || {
        let mut command = workspace.cargo(&["build", "--bins"]);
        command.args(PACKAGES.iter().flat_map(|package| ["-p", package]));
        steps::run(&mut command)
    })?;
    let mut command = workspace.program("dev");
    let mut words = arguments.iter().map(|argument| argument.to_string_lossy());
    if words.any(|word| word.ends_with("workerd")) {
        steps.step("build the edge on Workers", || {
            command.envs(worker::built(workspace)?);
            Ok(())
        })?;
    }
    // A relative path among the arguments is relative to where they were typed.
    let here = std::env::current_dir()?;
    let error = command
        .current_dir(here)
        .arg("--directory")
        .arg(workspace.target.join("dev"))
        .args(arguments)
        .exec();
    Err(error).context("cannot start the development run")
}

/// Migrates the database at `DATABASE_URL`, else that of the running development run.
pub(crate) fn migrate(workspace: &Workspace) -> Result<()> {
    let mut command = workspace.cargo(&["run", "--quiet", "-p", "pitchey-ops", "--"]);
    command.args(["db", "migrate"]);
    if std::env::var_os("DATABASE_URL").is_none_or(|url| url.is_empty()) {
        command.env("DATABASE_URL", dev_database(&workspace.target.join("dev"))?);
    }
    steps::run(&mut command)
}

/// The URL that a development run leaves for others to use.
fn dev_database(directory: &Path) -> Result<String> {
    let file = directory.join("env");
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    match text
        .lines()
        .find_map(|line| line.strip_prefix("DATABASE_URL="))
    {
        Some(url) => Ok(url.to_owned()),
        None => bail!("set DATABASE_URL, or start `cargo xtask dev`, which migrates by itself"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_of_the_development_run_is_read_from_its_file() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        dev_database(directory.path()).expect_err("there is no such file");
        let text = "REDIS_URL=redis://h/0\nDATABASE_URL=postgres://h/pitchey\n";
        std::fs::write(directory.path().join("env"), text).expect("writable");
        let url = dev_database(directory.path()).expect("the file names it");
        assert_eq!(url, "postgres://h/pitchey");
    }
}
