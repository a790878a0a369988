//! The servers, and the programs that put load on them.

use crate::{cores, npm};
use anyhow::{Context as _, Result, ensure};
use pitchey_testkit::guard::Guard;
use pitchey_testkit::native::http_status;
use pitchey_testkit::process::Process;
use pitchey_testkit::{Hub, net, wait};
use rustix::process::Signal;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const READY_WITHIN: Duration = Duration::from_secs(30);

/// Where the peers in JavaScript are.
const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/rooms");

/// What is started, and how it is told from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// With the window of 50 ms.
    Hub,
    /// With each update on its own.
    HubAtOnce,
    SocketIo,
    Ws,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub, 50 ms window",
            Self::HubAtOnce => "hub, no window",
            Self::SocketIo => "socket.io",
            Self::Ws => "ws",
        }
    }

    fn dialect(self) -> &'static str {
        match self {
            Self::Hub | Self::HubAtOnce => "hub",
            Self::SocketIo => "socket.io",
            Self::Ws => "ws",
        }
    }
}

/// A server on the servers' core. Dropping it stops it.
#[derive(Debug)]
pub(crate) enum Server {
    Hub(Hub, u32),
    Peer(Process, SocketAddr),
}

impl Server {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Hub(hub, _) => hub.address(),
            Self::Peer(_, address) => *address,
        }
    }

    fn pid(&self) -> u32 {
        match self {
            Self::Hub(_, pid) => *pid,
            Self::Peer(process, _) => process.pid(),
        }
    }
}

/// What all parts share.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    /// Where the programs are that were built.
    programs: PathBuf,
    /// Where the peers are installed, if they could be.
    peers: Option<PathBuf>,
    scratch: &'a Path,
    guard: &'a Guard,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(target: &Path, scratch: &'a Path, guard: &'a Guard) -> Result<Self> {
        let programs =
            std::env::var_os("PITCHEY_BIN_DIR").context("started without `cargo xtask bench`")?;
        let peers = npm::install(Path::new(PEERS), target, guard);
        if let Err(reason) = &peers {
            eprintln!("SKIPPED: socket.io and ws: {reason:#}");
        }
        Ok(Self {
            programs: programs.into(),
            peers: peers.ok(),
            scratch,
            guard,
        })
    }

    /// Whether all peers are there.
    pub(crate) fn is_whole(&self) -> bool {
        self.peers.is_some()
    }

    /// A new server; none, if it could not be installed.
    pub(crate) fn start(&self, kind: Kind) -> Result<Option<Server>> {
        match (kind, &self.peers) {
            (Kind::Hub, _) => Ok(Some(hub(&[])?)),
            (Kind::HubAtOnce, _) => Ok(Some(hub(&[("HUB_ROOMS__WINDOW_MS", "0")])?)),
            (Kind::SocketIo | Kind::Ws, None) => Ok(None),
            (Kind::SocketIo | Kind::Ws, Some(home)) => Ok(Some(self.peer(kind, home)?)),
        }
    }

    fn peer(&self, kind: Kind, home: &Path) -> Result<Server> {
        let address = SocketAddr::from(([127, 0, 0, 1], net::free_port()?));
        let mut node = Command::new("node");
        node.arg("server.mjs")
            .current_dir(home)
            .env("NODE_ENV", "production")
            .env("KIND", kind.dialect())
            .env("PORT", address.port().to_string());
        let log = self.scratch.join("peer.log");
        let mut process = cores::on_core(cores::SERVERS, || {
            Process::spawn(kind.name(), node, &log, Signal::TERM, self.guard)
        })?;
        let what = format!("{} to answer", kind.name());
        wait::until(&what, READY_WITHIN, || {
            if let Some(status) = process.exited()? {
                anyhow::bail!("{} ended at once ({status})", kind.name());
            }
            Ok((http_status(address, "/healthz").ok() == Some(200)).then_some(()))
        })
        .with_context(|| process.log_tail(20))?;
        Ok(Server::Peer(process, address))
    }

    /// Subscribers and publications, from the load's core; the figures.
    pub(crate) fn load(&self, server: &Server, kind: Kind, more: &[String]) -> Result<Value> {
        let mut load = Command::new(self.programs.join("examples/rooms_load"));
        load.args(["--dialect", kind.dialect(), "--address"])
            .arg(server.address().to_string())
            .args(["--pid", &server.pid().to_string()])
            .args(more);
        let (status, figures) = self.run(load, Duration::from_mins(4))?;
        ensure!(status == Some(0), "the load on {} failed", kind.name());
        Ok(figures)
    }

    /// `pitchey hub load`, from the load's core: whether all was well, and the figures.
    pub(crate) fn check(&self, hubs: &[&Hub], more: &[&str]) -> Result<(bool, Value)> {
        let hubs: Vec<String> = hubs
            .iter()
            .map(|hub| format!("http://{}", hub.address()))
            .collect();
        let mut load = Command::new(self.programs.join("pitchey"));
        load.args(["hub", "load", "--json", "--hub", &hubs.join(",")])
            .args(more);
        let (status, figures) = self.run(load, Duration::from_mins(4))?;
        Ok((status == Some(0), figures))
    }

    /// Runs a program that prints JSON.
    fn run(&self, mut command: Command, within: Duration) -> Result<(Option<i32>, Value)> {
        command
            .env("HUB_TICKETS__KEY", Hub::TICKET_KEY)
            .env("HUB_PUBLISH__SECRET", Hub::PUBLISH_SECRET);
        let log = self.scratch.join("load.log");
        std::fs::write(&log, "")?;
        cores::on_core(cores::LOAD, || {
            let mut process = Process::spawn("load", command, &log, Signal::TERM, self.guard)?;
            let status = process.wait(within)?;
            let printed = process.log();
            // What went wrong, a program says in a line of another shape.
            let figures = printed.find("\n{").map(|at| &printed[at..]);
            let figures = if printed.starts_with('{') {
                Some(&*printed)
            } else {
                figures
            };
            let figures = figures.with_context(|| format!("no figures:\n{printed}"))?;
            let mut figures = serde_json::Deserializer::from_str(figures).into_iter::<Value>();
            let figures = figures.next().context("no figures")?;
            Ok((status.code(), figures.with_context(|| printed.clone())?))
        })
    }
}

/// A hub on the servers' core.
pub(crate) fn start_hub(environment: &[(&str, &str)]) -> Result<Hub> {
    cores::on_core(cores::SERVERS, || Hub::start(environment))
}

fn hub(environment: &[(&str, &str)]) -> Result<Server> {
    let mut hub = start_hub(environment)?;
    let pid = hub.process().pid();
    Ok(Server::Hub(hub, pid))
}
