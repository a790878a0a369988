//! Where the workspace is and what cargo says about it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// The workspace that this program was built from.
pub(crate) struct Workspace {
    /// The directory of the root manifest.
    pub(crate) root: PathBuf,
    /// The directory that cargo builds into.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Finds the workspace around the current directory.
    pub(crate) fn find() -> Result<Self> {
        let mut command = cargo();
        command.args(["metadata", "--format-version=1", "--no-deps", "--offline"]);
        let metadata = read_metadata(command)?;
        Ok(Self {
            root: metadata.workspace_root,
            target: metadata.target_directory,
        })
    }

    /// `cargo` with these arguments, in the root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = cargo();
        command.args(arguments).current_dir(&self.root);
        command
    }

    /// What cargo knows about the workspace and all that it depends on.
    pub(crate) fn metadata(&self, arguments: &[&str]) -> Result<Metadata> {
        let mut command = self.cargo(&["metadata", "--format-version=1"]);
        command.args(arguments);
        read_metadata(command)
    }

    /// The files that git knows or would add, relative to the root.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let output = Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(&self.root)
            .output()
            .context("cannot start git")?;
        ensure!(
            output.status.success(),
            "git does not list the files: {}",
            error_text(&output)
        );
        let listed = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
        Ok(listed
            .split_terminator('\0')
            .map(PathBuf::from)
            // Deleted but not committed yet.
            .filter(|file| self.root.join(file).is_file())
            .collect())
    }

    /// A program that was built with the `dev` profile, to be run in the root.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.target.join("debug").join(name));
        forget_cargo(&mut command);
        command.current_dir(&self.root);
        command
    }
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    forget_cargo(&mut command);
    command
}

/// Leaves out what `cargo run` says about this program. A build script that looks at it (ring's does)
/// would run again, and all that depends on it be compiled again, whenever another package's program
/// calls cargo.
fn forget_cargo(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name.as_ref());
        }
    }
}

fn read_metadata(mut command: Command) -> Result<Metadata> {
    let output = command.output().context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "cargo metadata failed: {}",
        error_text(&output)
    );
    serde_json::from_slice(&output.stdout).context("cargo metadata is not what was expected")
}

/// What a failed program printed to standard error.
pub(crate) fn error_text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

/// The part of `cargo metadata` that is used here.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: Vec<String>,
    pub(crate) workspace_root: PathBuf,
    pub(crate) target_directory: PathBuf,
}

impl Metadata {
    /// The packages of the workspace itself.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
    }
}

/// A package and what its manifest says.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
    /// What stands under `[package.metadata]`.
    #[serde(default)]
    pub(crate) metadata: Option<PackageMetadata>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct PackageMetadata {
    #[serde(default)]
    bench: BenchMetadata,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct BenchMetadata {
    /// Benchmarks that need neither our programs nor services.
    #[serde(default)]
    alone: Vec<String>,
}

impl Package {
    /// Whether a benchmark needs neither our programs nor services.
    pub(crate) fn benches_alone(&self, bench: &str) -> bool {
        let metadata = self.metadata.as_ref();
        metadata.is_some_and(|metadata| metadata.bench.alone.iter().any(|alone| alone == bench))
    }

    /// The directory of its manifest.
    pub(crate) fn directory(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }
}

/// A line under `[dependencies]` and its like.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// What it is called here, if that is another.
    #[serde(default)]
    pub(crate) rename: Option<String>,
    /// `dev`, `build`, or nothing for an ordinary one.
    pub(crate) kind: Option<String>,
    /// The platform that it is for, as `cfg(…)` or a triple.
    pub(crate) target: Option<String>,
}

impl Dependency {
    /// What it is called here.
    pub(crate) fn alias(&self) -> &str {
        self.rename.as_deref().unwrap_or(&self.name)
    }
}

/// A library, program, test or bench.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}
