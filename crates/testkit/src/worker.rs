//! The edge on Workers, in a workerd of its own for a test.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::native::{Program, Running, http_status};
use crate::process::Process;
use crate::{net, wait};

/// Where the program is that runs Workers, and the modules of the edge: `cargo xtask test` says so, where
/// npm can bring the one and the other was built.
const WORKERD_VARIABLE: &str = "PITCHEY_WORKERD";
const MODULES_VARIABLE: &str = "PITCHEY_WORKER_DIR";
const REGIONS_VARIABLE: &str = "PITCHEY_WORKER_REGIONS_DIR";

/// What the worker logs if it cannot be configured.
const WRONG: &str = "the configuration is wrong";

const READY_WITHIN: Duration = Duration::from_secs(30);
const PORT_ATTEMPTS: u32 = 5;

/// A workerd that runs the edge, on a free port. Dropping it stops it.
#[derive(Debug)]
pub struct Worker {
    running: Running,
    listen: SocketAddr,
    /// What its rooms keep, if that is to go with it.
    rooms: Option<TempDir>,
}

impl Worker {
    /// Whether there is what it takes. If not, that is said, and the test is skipped.
    pub fn is_there() -> bool {
        let there = std::env::var_os(WORKERD_VARIABLE).is_some();
        if !there {
            eprintln!("skipped: the edge on Workers, because {WORKERD_VARIABLE} names no workerd");
        }
        there
    }

    /// The variables that say so, for a program that runs it.
    pub fn variables() -> impl Iterator<Item = (&'static str, OsString)> {
        [WORKERD_VARIABLE, MODULES_VARIABLE]
            .into_iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)))
    }

    /// The program, with an origin to stand before. Variables of the edge begin with `WORKER_`.
    pub fn program(origin: &str) -> Result<Program> {
        Ok(Self::with_config(&config())?.env("WORKER_ORIGIN__URL", origin))
    }

    /// The program that can ask databases near readers, with bindings of Hyperdrive, each a name and the URL of a
    /// database that it leads to. What it is configured by is written into a directory, which must be there until
    /// it runs.
    pub fn with_hyperdrive(
        origin: &str,
        bindings: &[(&str, &str)],
        directory: &Path,
    ) -> Result<Program> {
        let mut text = fs::read_to_string(config())?;
        for (name, url) in bindings {
            let (service, binding) = hyperdrive(name, url)?;
            for (list, added) in [("services = [", service), ("bindings = [", binding)] {
                let at = text.find(list).context("workerd.capnp has another form")?;
                text.insert_str(at + list.len(), &format!("\n    {added},"));
            }
        }
        let config = directory.join("workerd.capnp");
        fs::write(&config, text)?;
        let program = program(&config, REGIONS_VARIABLE)?;
        Ok(program.env("WORKER_ORIGIN__URL", origin))
    }

    /// The program with another configuration of workerd, which finds the modules of the edge in `/`.
    pub fn with_config(config: &Path) -> Result<Program> {
        program(config, MODULES_VARIABLE)
    }

    /// What runs the edge as it is deployed: a program and its arguments, but for `--socket-addr=http=` and
    /// `--directory-path=rooms=`.
    pub fn command_line() -> Result<[OsString; 5]> {
        command_line(&config(), MODULES_VARIABLE)
    }

    /// Starts it and waits until it answers. What its rooms keep is gone with it.
    pub fn start(program: &Program) -> Result<Self> {
        let rooms = tempfile::tempdir()?;
        let mut worker = Self::start_keeping(program, rooms.path())?;
        worker.rooms = Some(rooms);
        Ok(worker)
    }

    /// The same; its rooms keep what they know in a directory.
    pub fn start_keeping(program: &Program, rooms: &Path) -> Result<Self> {
        for _ in 0..PORT_ATTEMPTS {
            let listen = SocketAddr::from(([127, 0, 0, 1], net::free_port()?));
            let running = program
                .clone()
                .arg(format!("--socket-addr=http={listen}"))
                .arg(format!("--directory-path=rooms={}", rooms.display()))
                .start()?;
            let mut worker = Self {
                running,
                listen,
                rooms: None,
            };
            let ready = wait::until("workerd to answer", READY_WITHIN, || {
                if let Some(status) = worker.running.process().exited()? {
                    let log = worker.running.log();
                    if log.contains("already in use") {
                        return Ok(Some(false));
                    }
                    bail!("workerd ended at once ({status}):\n{log}");
                }
                match http_status(listen, "/__edge/health").ok() {
                    Some(200) => Ok(Some(true)),
                    Some(500) if worker.running.log().contains(WRONG) => bail!("{WRONG}"),
                    _ => Ok(None),
                }
            });
            if ready.with_context(|| worker.running.log())? {
                return Ok(worker);
            }
        }
        bail!("{PORT_ATTEMPTS} times in a row, somebody else took the port of workerd")
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// The process: its id, signals to it and its end.
    pub fn process(&mut self) -> &mut Process {
        self.running.process()
    }

    /// What it has logged so far, as much of the end as is worth reading.
    pub fn log(&self) -> String {
        self.running.log()
    }
}

/// A service and a binding, as workerd's configuration says them.
fn hyperdrive(name: &str, url: &str) -> Result<(String, String)> {
    let parts = || {
        let (_, rest) = url.split_once("://")?;
        let (user, rest) = rest.split_once('@')?;
        let (address, database) = rest.split_once('/')?;
        let (user, password) = user.split_once(':')?;
        Some((user, password, address, database))
    };
    let (user, password, address, database) = parts().context("the URL has another form")?;
    let service =
        format!("(name = \"hyperdrive-{name}\", external = (address = \"{address}\", tcp = ()))");
    let binding = format!(
        "(name = \"{name}\", hyperdrive = (designator = \"hyperdrive-{name}\", database = \"{database}\", \
         user = \"{user}\", password = \"{password}\", scheme = \"postgresql\"))"
    );
    Ok((service, binding))
}

fn program(config: &Path, modules: &str) -> Result<Program> {
    let [program, arguments @ ..] = command_line(config, modules)?;
    Ok(Program::at(Path::new(&program)).args(arguments))
}

fn command_line(config: &Path, modules: &str) -> Result<[OsString; 5]> {
    let variable =
        |name: &str| std::env::var_os(name).with_context(|| format!("{name} is not set"));
    Ok([
        variable(WORKERD_VARIABLE)?,
        "serve".into(),
        config.into(),
        "--import-path".into(),
        variable(modules)?,
    ])
}

/// The configuration of workerd for the edge as it is deployed.
fn config() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/edge/workerd.capnp")
}
