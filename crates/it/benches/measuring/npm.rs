//! Peers in JavaScript, installed as their lock files say.

use anyhow::{Context as _, Result, ensure};
use pitchey_testkit::guard::Guard;
use pitchey_testkit::process::Process;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const INSTALLED_WITHIN: Duration = Duration::from_mins(3);
const FILES: [&str; 3] = ["package.json", "package-lock.json", "server.mjs"];

/// Copies a peer under the target directory and installs there what its lock file names.
pub(crate) fn install(peer: &Path, target: &Path, guard: &Guard) -> Result<PathBuf> {
    let name = peer.file_name().context("a peer has a name")?;
    let home = target.join(name);
    std::fs::create_dir_all(&home)?;
    for file in FILES {
        std::fs::copy(peer.join(file), home.join(file))
            .with_context(|| format!("cannot copy {file}"))?;
    }
    let node = Command::new("node")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    node.context("there is no `node`; version 20 or later is needed")?;
    let mut npm = Command::new("npm");
    npm.args(["ci", "--omit=dev", "--ignore-scripts", "--prefer-offline"])
        .args(["--no-audit", "--no-fund"])
        .current_dir(&home);
    let log = home.join("npm.log");
    let mut process =
        Process::spawn("npm", npm, &log, Signal::TERM, guard).context("there is no `npm`")?;
    let status = process.wait(INSTALLED_WITHIN)?;
    ensure!(
        status.success(),
        "`npm ci` could not install it:\n{}",
        process.log_tail(10)
    );
    Ok(home)
}
