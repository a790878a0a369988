//! `cargo xtask wasm`: the crates that the table marks for WebAssembly build for it.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{deps, steps};

const TARGET: &str = "wasm32-unknown-unknown";

/// Checks each marked crate by itself, so that no other's features help it. Says so and goes on where
/// the target is neither installed nor to be had.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    if !is_installed() {
        let added = Command::new("rustup")
            .args(["target", "add", TARGET])
            .status();
        if !added.is_ok_and(|status| status.success()) || !is_installed() {
            eprintln!("skipped: the target {TARGET} is not installed: rustup target add {TARGET}");
            return Ok(());
        }
    }
    for name in deps::wasm_crates(workspace)? {
        let package = format!("pitchey-{name}");
        steps::run(&mut workspace.cargo(&[
            "check",
            "--quiet",
            "--target",
            TARGET,
            "--package",
            &package,
        ]))?;
    }
    Ok(())
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
