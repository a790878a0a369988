//! `cargo xtask worker`: builds the edge for Workers, says how large it is, and runs it in workerd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Subcommand;

use crate::workspace::Workspace;
use crate::{setup, steps, wasm};

/// One of the modules that are built of the worker's code: who has no databases near readers does not pay for them.
struct Module {
    /// Where it and its JavaScript are put, under deploy/edge.
    directory: &'static str,
    /// With which features the crate is built.
    features: &'static [&'static str],
    /// By which profile, each with a directory of its own: there the two have the same name.
    profile: &'static str,
    /// What of crates/worker/js is its `regions.mjs`.
    regions: &'static str,
    /// How many bytes all of it may have after gzip.
    budget: u32,
}

const PLAIN: Module = Module {
    directory: "dist",
    features: &[],
    profile: "worker",
    regions: "without_regions.mjs",
    budget: 700_000,
};

const WITH_REGIONS: Module = Module {
    directory: "dist-regions",
    features: &["--features", "regions"],
    profile: "worker-regions",
    regions: "regions.mjs",
    budget: 930_000,
};

const MODULES: [Module; 2] = [PLAIN, WITH_REGIONS];

/// The module as cargo names it, and as it is called beside its JavaScript.
const COMPILED: &str = "pitchey_worker.wasm";
const BOUND: &str = "pitchey_worker_bg.wasm";
const GLUE: &str = "pitchey_worker.js";

/// What stands beside each module as it is, and what has this name beside either.
const SCRIPTS: [&str; 4] = ["index.mjs", "glue.js", "objects.js", "rooms.mjs"];
const REGIONS: &str = "regions.mjs";

/// What Workers run of WebAssembly, beside its first version, and rustc makes use of.
const PROPOSALS: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Where it is deployed to.
const ENVIRONMENTS: [&str; 2] = ["staging", "production"];

/// What is done with the worker.
#[derive(Subcommand)]
pub(crate) enum Action {
    /// Build what is deployed into deploy/edge: dist, and dist-regions with databases near readers; fail if either is
    /// too large.
    Build,
    /// Say how large they are.
    Size,
    /// Build it and run it in workerd, in front of an origin.
    Dev {
        /// The origin: scheme, host and port.
        #[arg(long)]
        origin: String,
        /// Where requests are taken.
        #[arg(long, default_value = "127.0.0.1:8787")]
        listen: String,
        /// Run the module with databases near readers.
        #[arg(long)]
        regions: bool,
    },
}

/// The command.
pub(crate) fn run(workspace: &Workspace, action: &Action) -> Result<()> {
    match action {
        Action::Build => {
            for module in &MODULES {
                build(workspace, module)?;
            }
            sizes(workspace)
        }
        Action::Size => sizes(workspace),
        Action::Dev {
            origin,
            listen,
            regions,
        } => {
            let module = if *regions { WITH_REGIONS } else { PLAIN };
            dev(workspace, &module, origin, listen)
        }
    }
}

/// The directory with what it is deployed by.
fn home(workspace: &Workspace) -> PathBuf {
    workspace.root.join("deploy/edge")
}

impl Module {
    /// The directory with what is deployed.
    fn dist(&self, workspace: &Workspace) -> PathBuf {
        home(workspace).join(self.directory)
    }
}

/// Why it cannot be built or run here, if it cannot.
pub(crate) fn missing() -> Option<&'static str> {
    if !wasm::is_available() {
        Some("the target wasm32-unknown-unknown is not installed")
    } else if !setup::is_installed("npm") {
        Some("npm is not installed")
    } else {
        None
    }
}

/// Compiles it, makes JavaScript's side of it, and makes it small.
fn build(workspace: &Workspace, module: &Module) -> Result<()> {
    ensure!(
        wasm::is_available(),
        "the target is needed: rustup target add {}",
        wasm::TARGET
    );
    let package = ["build", "--quiet", "-p", "pitchey-worker"];
    let bindgen = ["--features", "bindgen", "--bin", "bindgen"];
    steps::run(workspace.cargo(&package).args(bindgen))?;
    let of_workers = [
        "--lib",
        "--profile",
        module.profile,
        "--target",
        wasm::TARGET,
    ];
    let mut command = workspace.cargo(&package);
    steps::run(command.args(of_workers).args(module.features))?;

    let compiled = workspace.target.join(wasm::TARGET).join(module.profile);
    let compiled = compiled.join(COMPILED);
    let directory = module.dist(workspace);
    let scripts = workspace.root.join("crates/worker/js");
    let mut copied: Vec<_> = SCRIPTS
        .map(|name| (scripts.join(name), name))
        .into_iter()
        .chain([(scripts.join(module.regions), REGIONS)])
        .collect();
    let mut sources = vec![compiled.clone()];
    sources.extend(copied.iter().map(|(script, _)| script.clone()));
    // Written last.
    let done = directory.join("done");
    if is_newer(&done, &sources) {
        return Ok(());
    }
    // Elsewhere first: what is there may be running.
    let bound = workspace.target.join("worker-bound");
    fs::create_dir_all(&bound)?;
    steps::run(workspace.program("bindgen").arg(&compiled).arg(&bound))?;
    shrink(workspace, &bound.join(BOUND))?;
    fs::create_dir_all(&directory)?;
    copied.extend([BOUND, GLUE].map(|name| (bound.join(name), name)));
    for (from, name) in copied {
        fs::copy(from, directory.join(name)).with_context(|| format!("cannot copy {name}"))?;
    }
    fs::write(done, "")?;
    Ok(())
}

/// Whether a file is there and was written after all of these.
fn is_newer(file: &Path, sources: &[PathBuf]) -> bool {
    let changed = |file: &Path| fs::metadata(file).and_then(|metadata| metadata.modified());
    changed(file).is_ok_and(|made| {
        let mut sources = sources.iter().map(|source| changed(source));
        sources.all(|source| source.is_ok_and(|source| source <= made))
    })
}

/// Runs `wasm-opt` over a module, where npm can bring it.
fn shrink(workspace: &Workspace, module: &Path) -> Result<()> {
    if !setup::is_installed("npm") {
        eprintln!("skipped: wasm-opt, because npm is not installed; the module stays larger");
        return Ok(());
    }
    let modules = install(workspace)?;
    let mut command = Command::new(modules.join(".bin/wasm-opt"));
    command
        .arg("-Os")
        .args(PROPOSALS)
        .arg(module)
        .arg("-o")
        .arg(module);
    steps::run(&mut command)
}

/// Installs what the lock file of deploy/edge names, unless that has been done; the directory it is in.
pub(crate) fn install(workspace: &Workspace) -> Result<PathBuf> {
    let home = home(workspace);
    let modules = home.join("node_modules");
    // npm writes this last.
    let done = modules.join(".package-lock.json");
    if !is_newer(&done, &[home.join("package-lock.json")]) {
        let mut command = Command::new("npm");
        command.args([
            "ci",
            "--ignore-scripts",
            "--prefer-offline",
            "--no-audit",
            "--no-fund",
        ]);
        steps::run(command.current_dir(&home))
            .context("`npm` is needed, and `node` of version 20 or later")?;
    }
    Ok(modules)
}

/// Builds it; what a program must know that runs it in workerd.
pub(crate) fn built(workspace: &Workspace) -> Result<[(&'static str, PathBuf); 2]> {
    build(workspace, &PLAIN)?;
    Ok([
        ("PITCHEY_WORKERD", workerd(workspace)?),
        ("PITCHEY_WORKER_DIR", PLAIN.dist(workspace)),
    ])
}

/// Builds both; what a program must know that runs either.
pub(crate) fn both_built(workspace: &Workspace) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut told = Vec::from(built(workspace)?);
    build(workspace, &WITH_REGIONS)?;
    told.push(("PITCHEY_WORKER_REGIONS_DIR", WITH_REGIONS.dist(workspace)));
    Ok(told)
}

/// The program that runs Workers on this machine.
fn workerd(workspace: &Workspace) -> Result<PathBuf> {
    let packages = install(workspace)?.join("@cloudflare");
    for package in fs::read_dir(&packages)? {
        let program = package?.path().join("bin/workerd");
        if program.is_file() {
            return Ok(program);
        }
    }
    bail!("npm has brought no workerd for this machine")
}

/// Says how large what is built is, and fails if that is too much; and how long it takes to start.
fn sizes(workspace: &Workspace) -> Result<()> {
    for module in &MODULES {
        size(workspace, module)?;
    }
    Ok(())
}

fn size(workspace: &Workspace, module: &Module) -> Result<()> {
    let directory = module.dist(workspace);
    let name = module.directory;
    ensure!(
        directory.join(BOUND).is_file(),
        "nothing is built in {name}: cargo xtask worker build"
    );
    if !setup::is_installed("node") {
        let bytes = fs::metadata(directory.join(BOUND))?.len();
        println!("{name}/{BOUND}: {bytes} bytes");
        eprintln!("skipped: the compressed size, because node is not installed");
        return Ok(());
    }
    println!("{name}:");
    let scripts = home(workspace).join("scripts");
    let mut size = Command::new("node");
    size.arg(scripts.join("size.mjs")).arg(&directory);
    steps::run(size.arg(module.budget.to_string()))?;
    let mut startup = Command::new("node");
    steps::run(startup.arg(scripts.join("startup.mjs")).arg(&directory))
}

/// Builds both and checks their sizes and what they are deployed by, where npm is.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    for module in &MODULES {
        build(workspace, module)?;
    }
    sizes(workspace)?;
    let wrangler = install(workspace)?.join(".bin/wrangler");
    for environment in ENVIRONMENTS {
        for module in &MODULES {
            let mut command = Command::new(&wrangler);
            command
                .arg("deploy")
                .arg(format!("{}/index.mjs", module.directory))
                .args(["--dry-run", "--env", environment])
                .current_dir(home(workspace))
                .env("WRANGLER_SEND_METRICS", "false")
                .env("CI", "1");
            let what = format!("{} to {environment}", module.directory);
            steps::run_quietly(&what, &mut command)?;
        }
    }
    Ok(())
}

/// Runs it in workerd until it is stopped.
fn dev(workspace: &Workspace, module: &Module, origin: &str, listen: &str) -> Result<()> {
    build(workspace, module)?;
    let rooms = workspace.target.join("worker-rooms");
    fs::create_dir_all(&rooms)?;
    let mut command = Command::new(workerd(workspace)?);
    command
        .arg("serve")
        .arg(home(workspace).join("workerd.capnp"))
        .arg(format!("--socket-addr=http={listen}"))
        .arg("--import-path")
        .arg(module.dist(workspace))
        .arg(format!("--directory-path=rooms={}", rooms.display()))
        .env("WORKER_ORIGIN__URL", origin);
    eprintln!("the edge on workerd: http://{listen} in front of {origin}");
    steps::run(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_file_is_newer_than_what_was_written_before_it() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let [old, new, none] = ["old", "new", "none"].map(|name| directory.path().join(name));
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (file, seconds) in [(&old, 1_000), (&new, 2_000)] {
            let file = fs::File::create(file).expect("writable");
            file.set_modified(at(seconds)).expect("it is ours");
        }
        let old = [old];
        assert!(is_newer(&new, &old));
        assert!(!is_newer(&old[0], std::slice::from_ref(&new)));
        assert!(!is_newer(&none, &old) && !is_newer(&new, &[none]));
    }
}
