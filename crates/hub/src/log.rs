//! The log behind the rooms: in the memory of a hub that is alone, or in Redis for many.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pitchey_realtime::{History, MemLog, Position, RoomName, Unavailable, Update};
use pitchey_runtime::{Clock as _, SystemRuntime};
use pitchey_tiers::{RedisLink, RedisRooms};

/// Calls that found the log away. Label: `call`.
const FAILED: &str = "hub_log_failures_total";

/// How long somebody is vouched for who is in a room of this hub.
const VOUCHED: Duration = Duration::from_secs(10);

/// Where updates get their order.
pub(crate) enum Log {
    /// In this process.
    Memory(Mutex<MemLog>, SystemRuntime),
    /// For all hubs.
    Redis(RedisRooms<SystemRuntime>, RedisLink<SystemRuntime>),
}

/// What was published, and the update if it comes by no stream.
pub(crate) struct Appended {
    pub(crate) position: Position,
    pub(crate) update: Option<Update>,
}

impl Log {
    pub(crate) async fn append(
        &self,
        room: &RoomName,
        data: Bytes,
        id: Option<&str>,
    ) -> Result<Appended, Unavailable> {
        match self {
            Self::Memory(log, runtime) => {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(position) = id.and_then(|id| log.told(id)) {
                    return Ok(Appended {
                        position,
                        update: None,
                    });
                }
                let now = wall_ms(runtime);
                let update = log.append(room, data, now);
                if let Some(id) = id {
                    log.tell(id, &update.position, now);
                }
                Ok(Appended {
                    position: update.position.clone(),
                    update: Some(update),
                })
            }
            Self::Redis(rooms, _) => {
                let appended = rooms.append(room, &data, id).await;
                let position = appended.map_err(|error| failed("append", &error))?;
                Ok(Appended {
                    position,
                    update: None,
                })
            }
        }
    }

    /// Whether this is the first use of a ticket at any hub; from now on it is used, for so long.
    pub(crate) async fn first_use(
        &self,
        ticket: &str,
        kept: Duration,
    ) -> Result<bool, Unavailable> {
        match self {
            Self::Memory(..) => Ok(true),
            Self::Redis(rooms, _) => {
                let first = rooms.first_use(ticket, kept).await;
                first.map_err(|error| failed("ticket", &error))
            }
        }
    }

    pub(crate) async fn load(&self, room: &RoomName) -> Result<History, Unavailable> {
        match self {
            Self::Memory(log, runtime) => {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(log.history(room, wall_ms(runtime)))
            }
            Self::Redis(rooms, _) => rooms
                .load(room)
                .await
                .map_err(|error| failed("load", &error)),
        }
    }

    pub(crate) async fn heads(
        &self,
        names: &[RoomName],
    ) -> Result<Vec<(RoomName, Position)>, Unavailable> {
        match self {
            Self::Memory(log, runtime) => {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                let now = wall_ms(runtime);
                Ok(names
                    .iter()
                    .map(|name| (name.clone(), log.history(name, now).head))
                    .collect())
            }
            Self::Redis(rooms, _) => rooms
                .heads(names)
                .await
                .map_err(|error| failed("heads", &error)),
        }
    }

    pub(crate) fn leave(&self, room: &RoomName) {
        if let Self::Redis(rooms, _) = self {
            rooms.leave(room);
        }
    }

    /// Forgets rooms that nobody has been in for long.
    pub(crate) fn sweep(&self, in_use: impl Fn(&RoomName) -> bool) {
        if let Self::Memory(log, runtime) = self {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.sweep(wall_ms(runtime), in_use);
        }
    }

    /// Tells the other hubs who is in rooms here, and learns who is there.
    pub(crate) async fn exchange_presence(
        &self,
        node: &str,
        rooms: &[(RoomName, String)],
    ) -> Result<Vec<(RoomName, Vec<String>)>, Unavailable> {
        match self {
            Self::Memory(..) => Ok(Vec::new()),
            Self::Redis(log, _) => {
                let exchanged = log.exchange_presence(node, VOUCHED, rooms).await;
                exchanged.map_err(|error| failed("presence", &error))
            }
        }
    }
}

fn failed(call: &'static str, error: &dyn std::fmt::Display) -> Unavailable {
    metrics::counter!(FAILED, "call" => call).increment(1);
    tracing::debug!(call, %error, "the log cannot be reached");
    Unavailable
}

pub(crate) fn wall_ms(runtime: &SystemRuntime) -> u64 {
    let milliseconds = runtime.wall().unix_timestamp_nanos() / 1_000_000;
    u64::try_from(milliseconds).unwrap_or(0)
}
