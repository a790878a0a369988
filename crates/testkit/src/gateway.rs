//! A gateway of its own for a test.

use std::net::{SocketAddr, TcpStream};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::native::{Program, Running, http_status};
use crate::process::Process;
use crate::{net, wait};

const READY_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(30);
const PORT_ATTEMPTS: u32 = 5;

/// A gateway that runs, on a free port. Dropping it stops it.
#[derive(Debug)]
pub struct Gateway {
    running: Running,
    listen: SocketAddr,
}

impl Gateway {
    /// The program, with an origin to stand before.
    pub fn program(origin: &str) -> Program {
        Program::new("pitchey-gateway", "gateway")
            .args(["--origin", origin])
            .with_little_memory("GATEWAY_STORE__MEMORY_MIB")
    }

    /// Starts it and waits until it answers.
    pub fn start(program: &Program) -> Result<Self> {
        Self::start_until(program, |listen| {
            http_status(listen, "/__edge/health").ok() == Some(200)
        })
    }

    /// Starts it and waits until it takes connections: one with TLS does not answer just anybody.
    pub fn start_silent(program: &Program) -> Result<Self> {
        Self::start_until(program, |listen| TcpStream::connect(listen).is_ok())
    }

    fn start_until(program: &Program, is_there: impl Fn(SocketAddr) -> bool) -> Result<Self> {
        for _ in 0..PORT_ATTEMPTS {
            let listen = SocketAddr::from(([127, 0, 0, 1], net::free_port()?));
            let running = program
                .clone()
                .args(["--listen", &listen.to_string()])
                .start()?;
            let mut gateway = Self { running, listen };
            let ready = wait::until("the gateway to answer", READY_WITHIN, || {
                if let Some(status) = gateway.running.process().exited()? {
                    let log = gateway.running.log();
                    if log.contains("Address already in use") {
                        return Ok(Some(false));
                    }
                    bail!("the gateway ended at once ({status}):\n{log}");
                }
                Ok(is_there(listen).then_some(true))
            });
            if ready.with_context(|| gateway.running.log())? {
                return Ok(gateway);
            }
        }
        bail!("{PORT_ATTEMPTS} times in a row, somebody else took the gateway's port")
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// The process: its id, its log, signals to it and its end.
    pub fn process(&mut self) -> &mut Process {
        self.running.process()
    }

    /// What it has logged so far, as much of the end as is worth reading.
    pub fn log(&self) -> String {
        self.running.log()
    }

    /// Asks it to stop in order and gives back how it ended.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.running.process().stop(STOP_WITHIN)
    }
}
