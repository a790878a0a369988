//! Rooms on either of their shells: as a hub, and as a Durable Object in workerd.

use anyhow::Result;
use pitchey_testkit::{Hub, Program, Worker};
use std::net::SocketAddr;
use tokio::task::block_in_place;

/// What the rooms run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    Hub,
    Object,
}

/// Rooms that run. Dropped, they stop.
#[derive(Debug)]
pub(crate) enum Rooms {
    Hub(Hub),
    Object(Worker),
}

impl Shell {
    /// Starts them. Settings are variables, without what their names begin with there.
    pub(crate) fn start(self, settings: &[(&str, &str)]) -> Result<Rooms> {
        block_in_place(|| {
            Ok(match self {
                Self::Hub => {
                    let settings = settings.iter();
                    let settings: Vec<(String, &str)> = settings
                        .map(|(name, value)| (format!("HUB_HTTP__{name}"), *value))
                        .collect();
                    let settings = settings.iter();
                    let settings: Vec<(&str, &str)> = settings
                        .map(|(name, value)| (name.as_str(), *value))
                        .collect();
                    Rooms::Hub(Hub::start(&settings)?)
                }
                Self::Object => {
                    let mut program = with_rooms(Worker::program("http://127.0.0.1:1")?);
                    for (name, value) in settings {
                        program = program.env(&format!("WORKER_REALTIME__{name}"), value);
                    }
                    Rooms::Object(Worker::start(&program)?)
                }
            })
        })
    }
}

/// The edge on Workers, with rooms that read the tickets of tests and take their publications.
pub(crate) fn with_rooms(program: Program) -> Program {
    program
        .env("WORKER_REALTIME__TICKET_KEY", Hub::TICKET_KEY)
        .env("WORKER_REALTIME__PUBLISH_SECRET", Hub::PUBLISH_SECRET)
}

impl Rooms {
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Hub(hub) => hub.address(),
            Self::Object(worker) => worker.address(),
        }
    }

    pub(crate) fn log(&self) -> String {
        match self {
            Self::Hub(hub) => hub.log(),
            Self::Object(worker) => worker.log(),
        }
    }
}

/// Makes tests of functions that take a shell: one for each of the two.
macro_rules! on_both_shells {
    ($($test:ident,)+) => {
        mod as_a_hub {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() -> anyhow::Result<()> {
                    super::$test($crate::hub::shell::Shell::Hub).await
                }
            )+
        }

        mod in_a_durable_object {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() -> anyhow::Result<()> {
                    if !pitchey_testkit::Worker::is_there() {
                        return Ok(());
                    }
                    super::$test($crate::hub::shell::Shell::Object).await
                }
            )+
        }
    };
}

pub(crate) use on_both_shells;
