//! The servers, and the programs that put load on them.

use crate::{cores, npm};
use anyhow::{Context as _, Result, ensure};
use pitchey_testkit::guard::Guard;
use pitchey_testkit::native::http_status;
use pitchey_testkit::process::Process;
use pitchey_testkit::{Hub, net, wait};
use rustix::process::Signal;
use serde_json::Value;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const READY_WITHIN: Duration = Duration::from_secs(30);

/// Where the peers in JavaScript are.
const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/rooms");

/// Where Debian puts nchan.
const NCHAN: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/// Names Sockudo, if it is not on the path.
const SOCKUDO_VARIABLE: &str = "PITCHEY_SOCKUDO";

fn sockudo() -> OsString {
    std::env::var_os(SOCKUDO_VARIABLE).unwrap_or_else(|| "sockudo".into())
}

/// What is started, and how it is told from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// With the window of 50 ms.
    Hub,
    /// With each update on its own.
    HubAtOnce,
    SocketIo,
    Ws,
    /// nginx's module for rooms.
    Nchan,
    Sockudo,
}

impl Kind {
    /// All peers.
    pub(crate) const PEERS: [Self; 4] = [Self::SocketIo, Self::Ws, Self::Nchan, Self::Sockudo];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub, 50 ms window",
            Self::HubAtOnce => "hub, no window",
            Self::SocketIo => "socket.io",
            Self::Ws => "ws",
            Self::Nchan => "nchan",
            Self::Sockudo => "Sockudo",
        }
    }

    fn dialect(self) -> &'static str {
        match self {
            Self::Hub | Self::HubAtOnce => "hub",
            Self::SocketIo => "socket.io",
            Self::Ws => "ws",
            Self::Nchan => "nchan",
            Self::Sockudo => "sockudo",
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
    /// Where the peers in JavaScript are installed, if they could be.
    node: Option<PathBuf>,
    /// The peers that are not there.
    missing: Vec<Kind>,
    scratch: &'a Path,
    guard: &'a Guard,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(target: &Path, scratch: &'a Path, guard: &'a Guard) -> Result<Self> {
        let programs =
            std::env::var_os("PITCHEY_BIN_DIR").context("started without `cargo xtask bench`")?;
        let node = npm::install(Path::new(PEERS), target, guard);
        let mut missing = Vec::new();
        if let Err(reason) = &node {
            eprintln!("SKIPPED: socket.io and ws: {reason:#}");
            missing.extend([Kind::SocketIo, Kind::Ws]);
        }
        if !Path::new(NCHAN).exists() {
            eprintln!("SKIPPED: nchan: Debian: nginx-light, libnginx-mod-nchan");
            missing.push(Kind::Nchan);
        }
        if Command::new(sockudo()).arg("--version").output().is_err() {
            eprintln!(
                "SKIPPED: Sockudo: `cargo install sockudo`, or name it in {SOCKUDO_VARIABLE}"
            );
            missing.push(Kind::Sockudo);
        }
        Ok(Self {
            programs: programs.into(),
            node: node.ok(),
            missing,
            scratch,
            guard,
        })
    }

    /// Whether all peers are there.
    pub(crate) fn is_whole(&self) -> bool {
        self.missing.is_empty()
    }

    /// A new server; none, if it is not there.
    pub(crate) fn start(&self, kind: Kind) -> Result<Option<Server>> {
        if self.missing.contains(&kind) {
            return Ok(None);
        }
        let address = SocketAddr::from(([127, 0, 0, 1], net::free_port()?));
        let (command, healthy) = match kind {
            Kind::Hub => return Ok(Some(hub(&[])?)),
            Kind::HubAtOnce => return Ok(Some(hub(&[("HUB_ROOMS__WINDOW_MS", "0")])?)),
            Kind::SocketIo | Kind::Ws => (self.node(kind, address)?, "/healthz"),
            Kind::Nchan => (self.nchan(address)?, "/healthz"),
            Kind::Sockudo => (self.sockudo(address)?, "/up"),
        };
        let log = self.scratch.join("peer.log");
        let mut process = cores::on_core(cores::SERVERS, || {
            Process::spawn(kind.name(), command, &log, Signal::TERM, self.guard)
        })?;
        let what = format!("{} to answer", kind.name());
        wait::until(&what, READY_WITHIN, || {
            if let Some(status) = process.exited()? {
                anyhow::bail!("{} ended at once ({status})", kind.name());
            }
            Ok((http_status(address, healthy).ok() == Some(200)).then_some(()))
        })
        .with_context(|| process.log_tail(20))?;
        Ok(Some(Server::Peer(process, address)))
    }

    fn node(&self, kind: Kind, address: SocketAddr) -> Result<Command> {
        let home = self.node.as_ref().context("not installed")?;
        let mut node = Command::new("node");
        node.arg("server.mjs")
            .current_dir(home)
            .env("NODE_ENV", "production")
            .env("KIND", kind.dialect())
            .env("PORT", address.port().to_string());
        Ok(node)
    }

    /// nginx as one process, with as long a history as a hub has.
    fn nchan(&self, address: SocketAddr) -> Result<Command> {
        let home = self.scratch.join("nchan");
        std::fs::create_dir_all(&home)?;
        let at = home.display();
        let text = format!(
            "load_module {NCHAN};
daemon off;
master_process off;
worker_rlimit_nofile 32768;
pid {at}/pid;
error_log {at}/error.log warn;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {at}/client;
  proxy_temp_path {at}/proxy;
  fastcgi_temp_path {at}/fastcgi;
  uwsgi_temp_path {at}/uwsgi;
  scgi_temp_path {at}/scgi;
  nchan_max_reserved_memory 512m;
  nchan_message_buffer_length 300;
  nchan_message_timeout 5m;
  server {{
    listen {address} backlog=4096;
    location = /healthz {{ return 200; }}
    location = /sub {{
      nchan_subscriber websocket;
      nchan_channel_id $arg_room;
      nchan_subscriber_first_message newest;
    }}
    location = /pub {{
      nchan_publisher http;
      nchan_channel_id $arg_room;
    }}
  }}
}}
"
        );
        let config = home.join("nginx.conf");
        std::fs::write(&config, text)?;
        let mut nginx = Command::new("nginx");
        nginx
            .arg("-c")
            .arg(config)
            .arg("-e")
            .arg(home.join("error.log"));
        Ok(nginx)
    }

    /// Sockudo with what its manual calls local adapters, without limits that a load from one address would
    /// meet, and without the figures that it has no scraper for.
    fn sockudo(&self, address: SocketAddr) -> Result<Command> {
        let home = self.scratch.join("sockudo");
        std::fs::create_dir_all(&home)?;
        let mut sockudo = Command::new(sockudo());
        sockudo
            .current_dir(home)
            .env("HOST", address.ip().to_string())
            .env("PORT", address.port().to_string())
            .env("SOCKUDO_DEFAULT_APP_ID", "bench")
            .env("SOCKUDO_DEFAULT_APP_KEY", "bench-key")
            .env("SOCKUDO_DEFAULT_APP_SECRET", "bench-secret")
            .env("SOCKUDO_DEFAULT_APP_MAX_CONNECTIONS", "20000")
            .env(
                "SOCKUDO_DEFAULT_APP_MAX_BACKEND_EVENTS_PER_SECOND",
                "100000",
            )
            .env("QUEUE_DRIVER", "memory")
            .env("RATE_LIMITER_ENABLED", "false")
            .env("METRICS_ENABLED", "false")
            .env("LOG_LEVEL", "warn")
            .env("RUST_LOG", "warn");
        Ok(sockudo)
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
