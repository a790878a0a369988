//! `cargo xtask wasm`: the crates that the table marks for WebAssembly build for it.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{deps, steps};

/// What Workers run.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Checks each marked crate by itself, so that no other's features help it. Says so and goes on where
/// the target is neither installed nor to be had.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    if !is_available() {
        eprintln!("skipped: the target {TARGET} is not installed: rustup target add {TARGET}");
        return Ok(());
    }
    for name in deps::wasm_crates(workspace)? {
        let package = format!("pitchey-{name}");
        // Of the others the lints see everything on this machine.
        let is_seen = name != "worker";
        let check = if is_seen { "check" } else { "clippy" };
        let mut command = workspace.cargo(&[check, "--quiet", "--target", TARGET, "-p", &package]);
        if !is_seen {
            command.args(["--", "-D", "warnings"]);
        }
        steps::run(&mut command)?;
    }
    Ok(())
}

/// Whether the target is installed, or can be.
pub(crate) fn is_available() -> bool {
    if is_installed() {
        return true;
    }
    let added = Command::new("rustup")
        .args(["target", "add", TARGET])
        .status();
    added.is_ok_and(|status| status.success()) && is_installed()
}

fn is_installed() -> bool {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    output.is_ok_and(|output| {
        output.status.success()
            && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    })
}
