//! `cargo xtask bench`: benchmarks by name.

use std::ffi::OsString;

use anyhow::{Context as _, Result};

use crate::workspace::{Metadata, Workspace};
use crate::{steps, worker};

/// Those that run the edge on Workers.
const ON_WORKERS: [&str; 2] = ["day", "worker"];

/// Runs the bench target of this name, or every one.
pub(crate) fn run(workspace: &Workspace, name: Option<&str>, arguments: &[OsString]) -> Result<()> {
    let metadata = workspace.metadata(&["--no-deps"])?;
    let benches = benches(&metadata);
    let chosen: Vec<_> = match name {
        None => benches,
        Some(name) => {
            let all = benches
                .iter()
                .map(|bench| bench.name)
                .collect::<Vec<_>>()
                .join(", ");
            let found = benches.into_iter().find(|bench| bench.name == name);
            vec![
                found
                    .with_context(|| format!("no benchmark is called {name}; there are: {all}"))?,
            ]
        }
    };
    if chosen.iter().any(|bench| !bench.alone) {
        // Figures are those of the programs that are deployed.
        let mut build = workspace.cargo(&["build", "--release", "--bins"]);
        steps::run(build.args([
            "-p",
            "pitchey-origin",
            "-p",
            "pitchey-ops",
            "-p",
            "pitchey-hub",
            "-p",
            "pitchey-gateway",
        ]))?;
        let load = [
            "build",
            "--release",
            "-p",
            "pitchey-hub",
            "--example",
            "rooms_load",
        ];
        steps::run(&mut workspace.cargo(&load))?;
    }
    let edge = if chosen.iter().any(|bench| ON_WORKERS.contains(&bench.name)) {
        worker::built(workspace)?.into()
    } else {
        Vec::new()
    };
    for Bench {
        package,
        name,
        alone,
    } in chosen
    {
        let run = ["bench", "-p", package, "--bench", name, "--"];
        let mut command = if alone {
            workspace.cargo(&run)
        } else {
            let mut command = workspace.program("with-services");
            command.args(["--", "cargo"]).args(run);
            command
        };
        command.env("PITCHEY_BIN_DIR", workspace.target.join("release"));
        command.env("PITCHEY_BENCH_DIR", workspace.target.join("bench"));
        command.envs(edge.iter().cloned());
        steps::run(command.args(arguments))?;
    }
    Ok(())
}

/// A bench target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Bench<'a> {
    package: &'a str,
    name: &'a str,
    /// Whether it needs neither our programs nor services.
    alone: bool,
}

fn benches(metadata: &Metadata) -> Vec<Bench<'_>> {
    let mut found: Vec<_> = metadata
        .members()
        .flat_map(|package| {
            let benches = package.targets.iter();
            let benches = benches.filter(|target| target.kind.iter().any(|kind| kind == "bench"));
            benches.map(|bench| Bench {
                package: &package.name,
                name: &bench.name,
                alone: package.benches_alone(&bench.name),
            })
        })
        .collect();
    found.sort_unstable();
    found
}
