//! `cargo xtask client`: the browser's client of the realtime protocol, checked and tested against the hub.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::steps;
use crate::workspace::Workspace;

/// Installs what the lock file names, checks the types, and runs the tests on Node with a hub of their own.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let home = workspace.root.join("clients/realtime");
    let npm = |arguments: &[&str]| {
        let mut command = Command::new("npm");
        command.args(arguments).current_dir(&home);
        command.env("PITCHEY_BIN_DIR", workspace.target.join("debug"));
        steps::run(&mut command)
    };
    let install = [
        "ci",
        "--ignore-scripts",
        "--prefer-offline",
        "--no-audit",
        "--no-fund",
    ];
    npm(&install).context("`npm` is needed, and `node` of version 20 or later")?;
    npm(&["run", "check"])?;
    steps::run(&mut workspace.cargo(&["build", "-p", "pitchey-hub", "--bins"]))?;
    npm(&["test"])
}
