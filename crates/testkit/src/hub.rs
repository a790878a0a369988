//! The hub as a child process.

use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::native::{Program, Running, http_status};
use crate::process::Process;
use crate::{net, wait};

const READY_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(35);
const PORT_ATTEMPTS: usize = 5;

/// A running hub. Dropping it stops it.
#[derive(Debug)]
pub struct Hub {
    running: Running,
    listen: SocketAddr,
    metrics: SocketAddr,
}

impl Hub {
    /// The secret that a hub reads tickets with, if it is told no other.
    pub const TICKET_KEY: &str = "a key for tickets in tests, long enough";

    /// The secret that it takes publications with.
    pub const PUBLISH_SECRET: &str = "a secret for publishing in tests, long enough";

    /// Starts a hub with more of an environment and waits until it answers.
    pub fn start(environment: &[(&str, &str)]) -> Result<Self> {
        for _ in 0..PORT_ATTEMPTS {
            if let Some(hub) = Self::try_start(environment)? {
                return Ok(hub);
            }
        }
        bail!("{PORT_ATTEMPTS} times in a row, somebody else took the hub's port")
    }

    fn try_start(environment: &[(&str, &str)]) -> Result<Option<Self>> {
        let [listen, metrics] = [net::free_port()?, net::free_port()?]
            .map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut program = Program::new("pitchey-hub", "hub")
            .env("HUB_HTTP__ADDRESS", listen.to_string())
            .env("HUB_METRICS__ADDRESS", metrics.to_string())
            .env("HUB_TICKETS__KEY", Self::TICKET_KEY)
            .env("HUB_PUBLISH__SECRET", Self::PUBLISH_SECRET);
        for (name, value) in environment {
            program = program.env(name, value);
        }
        let mut hub = Self {
            running: program.start()?,
            listen,
            metrics,
        };
        let ready = wait::until("the hub to answer", READY_WITHIN, || {
            if let Some(status) = hub.process().exited()? {
                let log = hub.log();
                if log.contains("Address already in use") {
                    return Ok(Some(false));
                }
                bail!("the hub ended at once ({status}):\n{log}");
            }
            Ok((http_status(listen, "/healthz").ok() == Some(200)).then_some(true))
        })
        .with_context(|| hub.log())?;
        Ok(ready.then_some(hub))
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// The address that its metrics are at.
    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics
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
        self.process().stop(STOP_WITHIN)
    }
}
