//! `cargo xtask fuzz`: fuzzes the API from its OpenAPI document, with an origin and a database of its own.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;
use crate::{dev, steps};

/// What fuzzes. A newer one knows more tricks and may find more: that is a change to look at, not a surprise.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// Runs it for so many seconds in all.
pub(crate) fn run(workspace: &Workspace, seconds: u32, seed: u32) -> Result<()> {
    let environment = workspace.target.join("fuzz-venv");
    let python = environment.join("bin/python");
    if !python.is_file() {
        steps::run(
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(&environment),
        )
        .context("`python3` with its module `venv` is needed (Debian: python3-venv)")?;
    }
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    steps::run(Command::new(&python).args(pip).arg(SCHEMATHESIS))?;

    let mut build = workspace.cargo(&["build", "--bins"]);
    steps::run(build.args(dev::PACKAGES.iter().flat_map(|package| ["-p", package])))?;
    let mut command = workspace.program("with-services");
    command.arg("--").arg(&python).arg("fuzz/api.py");
    command.args([
        "--seconds",
        &seconds.to_string(),
        "--seed",
        &seed.to_string(),
    ]);
    command.env("PITCHEY_BIN_DIR", workspace.target.join("debug"));
    steps::run(&mut command)
}
