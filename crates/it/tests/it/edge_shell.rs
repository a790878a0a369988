//! The edge on either of its shells: as the gateway, and as the worker in workerd.

use anyhow::Result;
use pitchey_testkit::{Gateway, Worker};
use std::net::SocketAddr;
use tokio::task::block_in_place;

/// What the edge runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    Gateway,
    Worker,
}

/// An edge that runs. Dropped, it stops.
#[derive(Debug)]
pub(crate) enum Edge {
    Gateway(Gateway),
    Worker(Worker),
}

impl Shell {
    /// Starts it in front of an origin. Settings are variables, without what their names begin with there;
    /// what a shell does not know it does not look at.
    pub(crate) fn start(self, origin: &str, settings: &[(&str, &str)]) -> Result<Edge> {
        let (mut program, prefix) = match self {
            Self::Gateway => (Gateway::program(origin), "GATEWAY_"),
            Self::Worker => (Worker::program(origin)?, "WORKER_"),
        };
        for (name, value) in settings {
            program = program.env(&format!("{prefix}{name}"), value);
        }
        block_in_place(|| {
            Ok(match self {
                Self::Gateway => Edge::Gateway(Gateway::start(&program)?),
                Self::Worker => Edge::Worker(Worker::start(&program)?),
            })
        })
    }
}

impl Edge {
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Gateway(gateway) => gateway.address(),
            Self::Worker(worker) => worker.address(),
        }
    }

    pub(crate) fn log(&self) -> String {
        match self {
            Self::Gateway(gateway) => gateway.log(),
            Self::Worker(worker) => worker.log(),
        }
    }
}

/// Makes tests of functions that take a shell: one for each of the two.
macro_rules! on_both_shells {
    ($($test:ident,)+) => {
        mod gateway {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() -> anyhow::Result<()> {
                    super::$test($crate::edge_shell::Shell::Gateway).await
                }
            )+
        }

        mod worker {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() -> anyhow::Result<()> {
                    if !pitchey_testkit::Worker::is_there() {
                        return Ok(());
                    }
                    super::$test($crate::edge_shell::Shell::Worker).await
                }
            )+
        }
    };
}

pub(crate) use on_both_shells;
