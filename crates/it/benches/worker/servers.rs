//! Two workers in the same workerd: ours as it is deployed, and Hono.

use crate::beside::Peer;
use crate::pitches::{PITCHES, SECRET};
use crate::upstream::Upstream;
use crate::{cores, npm};
use anyhow::{Context as _, Result, bail, ensure};
use pitchey_testkit::guard::Guard;
use pitchey_testkit::native::http_status;
use pitchey_testkit::process::Process;
use pitchey_testkit::{net, wait};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const READY_WITHIN: Duration = Duration::from_secs(30);
const BUNDLED_WITHIN: Duration = Duration::from_mins(1);

/// The longest that ours can be told: what is renewed meanwhile is not what is measured.
const BOUND_MS: &str = "60000";

/// The program that both run in.
#[derive(Debug)]
pub(crate) struct Workerd(PathBuf);

/// A worker that can be started.
#[derive(Debug)]
pub(crate) struct Isolate {
    pub(crate) name: &'static str,
    program: PathBuf,
    config: PathBuf,
    modules: PathBuf,
    variables: Vec<(&'static str, &'static str)>,
    origin: &'static str,
    /// Whether it has rooms, which need a directory.
    rooms: bool,
}

/// One that runs on the servers' core. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    process: Process,
    address: SocketAddr,
    /// From its start to its first answer.
    pub(crate) took: Duration,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Workerd {
    /// What `cargo xtask worker build` has installed.
    pub(crate) fn find() -> Result<Self> {
        let packages = root().join("deploy/edge/node_modules/@cloudflare");
        for package in std::fs::read_dir(&packages).context("`cargo xtask worker build` first")? {
            let program = package?.path().join("bin/workerd");
            if program.is_file() {
                return Ok(Self(program));
            }
        }
        bail!("npm has brought no workerd for this machine")
    }

    /// Ours, then Hono, which is installed and bundled first.
    pub(crate) fn isolates(&self, guard: &Guard) -> Result<[Isolate; 2]> {
        let edge = root().join("deploy/edge");
        let target = std::env::var_os("PITCHEY_BENCH_DIR").context("no directory for benches")?;
        let sources = root().join("crates/it/benches/peers/hono");
        let home = npm::install(&sources, &Path::new(&target).join("peers"), guard)?;
        let config = home.join("worker.capnp");
        std::fs::copy(sources.join("worker.capnp"), &config)?;
        let mut bundle = Command::new(home.join("node_modules/.bin/esbuild"));
        bundle
            .args(["server.mjs", "--bundle", "--minify", "--format=esm"])
            .args(["--target=es2022", "--outfile=bundle.mjs"])
            .current_dir(&home);
        let log = home.join("esbuild.log");
        let mut process = Process::spawn("esbuild", bundle, &log, Signal::TERM, guard)?;
        let status = process.wait(BUNDLED_WITHIN)?;
        ensure!(status.success(), "{}", process.log_tail(10));
        Ok([
            Isolate {
                name: "worker",
                program: self.0.clone(),
                config: edge.join("workerd.capnp"),
                modules: edge.join("dist"),
                variables: vec![
                    ("WORKER_PITCHEY__SECRET", SECRET),
                    ("WORKER_PITCHEY__BOUND_MS", BOUND_MS),
                    // The load comes from one address, and Hono counts nobody and marks nothing.
                    ("WORKER_LIMITS__CLIENTS", "0"),
                    ("WORKER_HEADERS__DEBUG", "false"),
                ],
                origin: "WORKER_ORIGIN__URL",
                rooms: true,
            },
            Isolate {
                name: "Hono",
                program: self.0.clone(),
                config,
                modules: home,
                variables: vec![("PEER_SECRET", SECRET), ("PEER_BOUND_MS", BOUND_MS)],
                origin: "PEER_ORIGIN",
                rooms: false,
            },
        ])
    }
}

impl Isolate {
    pub(crate) fn start(
        &self,
        upstream: &Upstream,
        scratch: &Path,
        guard: &Guard,
    ) -> Result<Server> {
        let name = self.name;
        let address = SocketAddr::from(([127, 0, 0, 1], net::free_port()?));
        let mut command = Command::new(&self.program);
        command
            .arg("serve")
            .arg(&self.config)
            .arg(format!("--socket-addr=http={address}"))
            .arg("--import-path")
            .arg(&self.modules)
            .env(self.origin, format!("http://{}", upstream.address()))
            .envs(self.variables.iter().copied());
        if self.rooms {
            let rooms = scratch.join("rooms");
            std::fs::create_dir_all(&rooms)?;
            command.arg(format!("--directory-path=rooms={}", rooms.display()));
        }
        let log = scratch.join(format!("{name}.log"));
        let begun = Instant::now();
        let mut process = cores::on_core(cores::SERVERS, || {
            Process::spawn(name, command, &log, Signal::TERM, guard)
        })?;
        let target = format!("/api/pitches/{}", PITCHES[0].0);
        wait::until(&format!("{name} to answer"), READY_WITHIN, || {
            if let Some(status) = process.exited()? {
                bail!("{name} ended at once ({status})");
            }
            Ok((http_status(address, &target).ok() == Some(200)).then_some(()))
        })
        .with_context(|| process.log_tail(20))?;
        Ok(Server {
            name,
            process,
            address,
            took: begun.elapsed(),
        })
    }
}

impl Server {
    /// What the load asks.
    pub(crate) fn peer(&self) -> Peer {
        Peer {
            name: self.name,
            address: self.address,
            process: self.process.pid(),
        }
    }
}
