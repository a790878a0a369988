//! The servers that take turns.

use crate::{cores, npm};
use anyhow::{Context as _, Result};
use pitchey_testkit::guard::Guard;
use pitchey_testkit::native::http_status;
use pitchey_testkit::process::Process;
use pitchey_testkit::{Origin, Program, net, wait};
use rustix::process::Signal;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const READY_WITHIN: Duration = Duration::from_secs(30);

/// Where the peer in JavaScript is.
const FASTIFY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/fastify");

/// A server on the servers' core. Dropping it stops it.
#[derive(Debug)]
pub(crate) enum Server {
    Origin {
        origin: Origin,
        name: &'static str,
        pid: u32,
    },
    Peer {
        process: Process,
        name: &'static str,
        address: SocketAddr,
    },
}

impl Server {
    /// The origin as it is deployed, or without its access log.
    pub(crate) fn origin(database: &str, redis: &str, access_log: bool) -> Result<Self> {
        let off = ["READ", "SEARCH", "WRITE", "BEACON"];
        let mut program = Program::origin()
            .env("DATABASE_URL", database)
            .env("REDIS_URL", redis);
        // The load is a single client: no quota would let it through.
        for class in off {
            program = program.env(&format!("PITCHEY_LIMITS__{class}"), "off");
        }
        if !access_log {
            program = program.env("PITCHEY_LOG__FILTER", "info,access=off");
        }
        let mut origin = cores::on_core(cores::SERVERS, || Origin::start_with(&program))?;
        let pid = origin.process().pid();
        let name = if access_log {
            ORIGIN
        } else {
            ORIGIN_WITHOUT_LOG
        };
        Ok(Self::Origin { origin, name, pid })
    }

    /// This program again, as hyper with nothing around it.
    pub(crate) fn bare(answers: &Path, ready: &str, scratch: &Path, guard: &Guard) -> Result<Self> {
        let program = std::env::current_exe()?;
        Self::peer(HYPER, ready, scratch, guard, |address| {
            let mut command = Command::new(&program);
            command.arg("--answers").arg(answers);
            command.arg("--address").arg(address.to_string());
            command
        })
    }

    /// Fastify over the same database, installed anew as its lock file says.
    pub(crate) fn fastify(
        target: &Path,
        database: &str,
        redis: &str,
        ready: &str,
        scratch: &Path,
        guard: &Guard,
    ) -> Result<Self> {
        let home = npm::install(Path::new(FASTIFY), target, guard)?;
        Self::peer(FASTIFY_NAME, ready, scratch, guard, |address| {
            let mut command = Command::new("node");
            command
                .arg("server.mjs")
                .current_dir(&home)
                .env("NODE_ENV", "production")
                .env("DATABASE_URL", database)
                .env("REDIS_URL", redis)
                .env("PORT", address.port().to_string());
            command
        })
    }

    fn peer(
        name: &'static str,
        ready: &str,
        scratch: &Path,
        guard: &Guard,
        command: impl Fn(SocketAddr) -> Command,
    ) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], net::free_port()?));
        let command = command(address);
        let log = scratch.join(format!("{name}.log"));
        let mut process = cores::on_core(cores::SERVERS, || {
            Process::spawn(name, command, &log, Signal::TERM, guard)
        })?;
        let what = format!("{name} to answer");
        wait::until(&what, READY_WITHIN, || {
            if let Some(status) = process.exited()? {
                anyhow::bail!("{name} ended at once ({status})");
            }
            Ok((http_status(address, ready).ok() == Some(200)).then_some(()))
        })
        .with_context(|| process.log_tail(20))?;
        Ok(Self::Peer {
            process,
            name,
            address,
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Origin { name, .. } | Self::Peer { name, .. } => name,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Origin { origin, .. } => origin.address(),
            Self::Peer { address, .. } => *address,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        match self {
            Self::Origin { pid, .. } => *pid,
            Self::Peer { process, .. } => process.pid(),
        }
    }

    /// Whether it sends recorded answers.
    pub(crate) fn is_bare(&self) -> bool {
        self.name() == HYPER
    }

    /// Empties the log: a line for each of millions of requests would fill the disk, and nobody reads it.
    pub(crate) fn forget_log(&mut self) -> Result<()> {
        if let Self::Origin { origin, .. } = self {
            let log = File::options()
                .write(true)
                .open(origin.process().log_path())?;
            log.set_len(0)?;
        }
        Ok(())
    }
}

pub(crate) const ORIGIN: &str = "origin";
pub(crate) const ORIGIN_WITHOUT_LOG: &str = "origin, no access log";
pub(crate) const HYPER: &str = "hyper";
pub(crate) const FASTIFY_NAME: &str = "Fastify";
