//! `cargo xtask deps` on a copy of this workspace's own manifests and table.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result};

/// The manifests of the workspace, with empty sources, where nothing else can be built by accident.
fn copy() -> Result<tempfile::TempDir> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask is in the root")?;
    let copy = tempfile::tempdir()?;
    let mut files: Vec<PathBuf> = vec![
        "Cargo.toml".into(),
        "docs/ARCHITECTURE.md".into(),
        "xtask/Cargo.toml".into(),
    ];
    for entry in fs::read_dir(root.join("crates"))? {
        let name = entry?.file_name();
        let manifest = Path::new("crates").join(name).join("Cargo.toml");
        if root.join(&manifest).exists() {
            files.push(manifest);
        }
    }
    for file in files {
        let target = copy.path().join(&file);
        let directory = target.parent().context("a file is in a directory")?;
        fs::create_dir_all(directory.join("src"))?;
        fs::copy(root.join(&file), &target)?;
        if file.ends_with("Cargo.toml") {
            sources(&target)?;
        }
    }
    Ok(copy)
}

/// Empty files for the targets that cargo wants to see.
fn sources(manifest: &Path) -> Result<()> {
    let directory = manifest.parent().context("a file is in a directory")?;
    fs::write(directory.join("src/lib.rs"), "")?;
    fs::write(directory.join("src/main.rs"), "fn main() {}")?;
    for line in fs::read_to_string(manifest)?.lines() {
        if let Some(path) = line
            .strip_prefix("path = \"")
            .and_then(|rest| rest.strip_suffix('"'))
        {
            let file = directory.join(path);
            fs::create_dir_all(file.parent().context("a file is in a directory")?)?;
            fs::write(file, "")?;
        }
    }
    Ok(())
}

fn deps(workspace: &Path) -> Result<Output> {
    Ok(Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("deps")
        .current_dir(workspace)
        .output()?)
}

#[test]
fn the_workspace_keeps_to_its_table() -> Result<()> {
    let output = deps(copy()?.path())?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[test]
fn a_forbidden_arrow_in_a_manifest_makes_the_command_fail_and_is_named() -> Result<()> {
    for (from, line, named) in [
        ("model", "pitchey-store.workspace = true", "model → store"),
        (
            "origin",
            "pitchey-testkit.workspace = true",
            "origin → testkit",
        ),
        ("store", "sqlx.workspace = true", "store → sqlx"),
    ] {
        let copy = copy()?;
        let manifest = copy.path().join("crates").join(from).join("Cargo.toml");
        let text = fs::read_to_string(&manifest)?;
        fs::write(
            &manifest,
            text.replace("[dependencies]\n", &format!("[dependencies]\n{line}\n")),
        )?;

        let output = deps(copy.path())?;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(named), "{errors}");
    }
    Ok(())
}
