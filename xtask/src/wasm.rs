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
        let of_target = ["--quiet", "--target", TARGET, "-p", &package];
        if name != "worker" {
            steps::run(workspace.cargo(&["check"]).args(of_target))?;
            continue;
        }
        // Of the others the lints see everything on this machine.
        for features in [&[][..], &["--features", "regions"]] {
            let mut command = workspace.cargo(&["clippy"]);
            command.args(of_target).args(features);
            steps::run(command.args(["--", "-D", "warnings"]))?;
        }
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
