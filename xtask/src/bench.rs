//! `cargo xtask bench`: benchmarks by name.

use std::ffi::OsString;

use anyhow::{Context as _, Result};

use crate::steps;
use crate::workspace::{Metadata, Workspace};

/// Runs the bench target of this name, or every one.
pub(crate) fn run(workspace: &Workspace, name: Option<&str>, arguments: &[OsString]) -> Result<()> {
    let metadata = workspace.metadata(&["--no-deps"])?;
    let benches = benches(&metadata);
    let chosen: Vec<_> = match name {
        None => benches,
        Some(name) => {
            let all = benches
                .iter()
                .map(|(_, bench)| *bench)
                .collect::<Vec<_>>()
                .join(", ");
            let found = benches.into_iter().find(|(_, bench)| *bench == name);
            vec![
                found
                    .with_context(|| format!("no benchmark is called {name}; there are: {all}"))?,
            ]
        }
    };
    // Figures are those of the programs that are deployed.
    let mut build = workspace.cargo(&["build", "--release", "--bins"]);
    steps::run(build.args(["-p", "pitchey-origin", "-p", "pitchey-ops"]))?;
    for (package, bench) in chosen {
        let mut command = workspace.program("with-services");
        command.args([
            "--", "cargo", "bench", "-p", package, "--bench", bench, "--",
        ]);
        command.env("PITCHEY_BIN_DIR", workspace.target.join("release"));
        command.env("PITCHEY_BENCH_DIR", workspace.target.join("bench"));
        steps::run(command.args(arguments))?;
    }
    Ok(())
}

/// Packages and the names of their bench targets.
fn benches(metadata: &Metadata) -> Vec<(&str, &str)> {
    let mut found: Vec<_> = metadata
        .members()
        .flat_map(|package| {
            let benches = package.targets.iter();
            let benches = benches.filter(|target| target.kind.iter().any(|kind| kind == "bench"));
            benches.map(|bench| (package.name.as_str(), bench.name.as_str()))
        })
        .collect();
    found.sort_unstable();
    found
}
