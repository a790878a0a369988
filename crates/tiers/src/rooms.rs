//! The log of rooms over Redis: one script gives each update its place, so that there is one order for
//! all nodes; a stream for each shard of the rooms carries it to them.
//!
//! The epoch of a room follows the epoch of the shared tier's clock, which ends with the process of the
//! server: whatever a snapshot or a replica may lack is noticed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pitchey_cache::SharedError;
use pitchey_realtime::{History, Keep, Position, RoomName, Update};
use pitchey_runtime::Runtime;
use pitchey_tier_scripts::{ROOM_APPEND, ROOM_HEADS, ROOM_LOAD, ROOM_PRESENCE, within};
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamId, StreamReadReply};

use crate::link::RedisLink;
use crate::refusal::shared_error;

/// So many streams carry what is published in all rooms.
const SHARDS: u32 = 16;

/// How many updates are read at once.
const READ: usize = 1000;

/// How many rooms are asked for at once.
const ROOMS: usize = 200;

/// The log of rooms over the Redis of a link. Clones share what is followed.
pub struct RedisRooms<R> {
    link: RedisLink<R>,
    keep: Keep,
    followed: Arc<Mutex<Followed>>,
}

/// The rooms that this node follows, and up to where each of their shards was read.
#[derive(Default)]
struct Followed {
    rooms: BTreeSet<RoomName>,
    shards: BTreeMap<u32, String>,
}

impl<R> Clone for RedisRooms<R> {
    fn clone(&self) -> Self {
        Self {
            link: self.link.clone(),
            keep: self.keep,
            followed: Arc::clone(&self.followed),
        }
    }
}

impl<R> fmt::Debug for RedisRooms<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RedisRooms").finish_non_exhaustive()
    }
}

impl<R: Runtime> RedisRooms<R> {
    /// The log that follows no room yet.
    pub fn new(link: RedisLink<R>, keep: Keep) -> Self {
        Self {
            link,
            keep,
            followed: Arc::default(),
        }
    }

    /// Publishes JSON in a room. Under the same `id` it is published once, within an hour; the answer is
    /// the same each time. After an error it may have been published.
    pub async fn append(
        &self,
        room: &RoomName,
        data: &[u8],
        id: Option<&str>,
    ) -> Result<Position, SharedError> {
        let mut call = self.link.script(&ROOM_APPEND);
        call.arg(room.as_str()).arg(shard(room)).arg(data);
        call.arg(id.unwrap_or_default()).arg(self.keep.updates);
        call.arg(milliseconds(self.keep.age));
        let (epoch, offset) = self
            .link
            .run_script::<(String, String)>(&ROOM_APPEND, &call)
            .await?;
        position(&epoch, &offset)
    }

    /// Follows a room from now on, and reads what there is of it.
    pub async fn load(&self, room: &RoomName) -> Result<History, SharedError> {
        type Answer = (String, String, String, Vec<(u64, Vec<u8>)>);
        let shard = shard(room);
        let mut call = self.link.script(&ROOM_LOAD);
        call.arg(room.as_str()).arg(shard);
        let (epoch, offset, newest, updates) =
            self.link.run_script::<Answer>(&ROOM_LOAD, &call).await?;
        {
            let mut followed = lock(&self.followed);
            followed.rooms.insert(room.clone());
            followed.shards.entry(shard).or_insert(newest);
        }
        let head = position(&epoch, &offset)?;
        let before = head.offset.saturating_sub(updates.len() as u64);
        let updates = (before + 1..)
            .zip(updates)
            .map(|(offset, (at_ms, data))| Update {
                position: Position {
                    epoch: Arc::clone(&head.epoch),
                    offset,
                },
                at_ms,
                data: data.into(),
            });
        Ok(History {
            updates: updates.collect(),
            head,
        })
    }

    /// Follows a room no more.
    pub fn leave(&self, room: &RoomName) {
        let mut followed = lock(&self.followed);
        followed.rooms.remove(room);
        let needed: BTreeSet<u32> = followed.rooms.iter().map(shard).collect();
        followed.shards.retain(|shard, _| needed.contains(shard));
    }

    /// Where rooms stand.
    pub async fn heads(
        &self,
        rooms: &[RoomName],
    ) -> Result<Vec<(RoomName, Position)>, SharedError> {
        let mut all = Vec::with_capacity(rooms.len());
        for rooms in rooms.chunks(ROOMS) {
            let mut call = self.link.script(&ROOM_HEADS);
            for room in rooms {
                call.arg(room.as_str());
            }
            let heads = self
                .link
                .run_script::<Vec<(String, String)>>(&ROOM_HEADS, &call)
                .await?;
            for (room, (epoch, offset)) in rooms.iter().zip(heads) {
                all.push((room.clone(), position(&epoch, &offset)?));
            }
        }
        Ok(all)
    }

    /// Says who is in rooms of this node, and learns for each what the other nodes have said.
    pub async fn exchange_presence(
        &self,
        node: &str,
        vouched: Duration,
        rooms: &[(RoomName, String)],
    ) -> Result<Vec<(RoomName, Vec<String>)>, SharedError> {
        let mut all = Vec::with_capacity(rooms.len());
        for rooms in rooms.chunks(ROOMS) {
            let mut call = self.link.script(&ROOM_PRESENCE);
            call.arg(node).arg(milliseconds(vouched));
            for (room, who) in rooms {
                call.arg(room.as_str()).arg(who);
            }
            let others = self
                .link
                .run_script::<Vec<Vec<String>>>(&ROOM_PRESENCE, &call)
                .await?;
            all.extend(rooms.iter().map(|(room, _)| room.clone()).zip(others));
        }
        Ok(all)
    }

    /// Whether this is the first use of a ticket at any node; from now on it is used, for so long.
    pub async fn first_use(&self, ticket: &str, kept: Duration) -> Result<bool, SharedError> {
        let mut call = redis::cmd("SET");
        call.arg(format!("{}ticket:{ticket}", self.link.config().prefix));
        call.arg(1)
            .arg("NX")
            .arg("PX")
            .arg(milliseconds(kept).max(1));
        let set = self.link.call::<Option<String>>(&call).await?;
        Ok(set.is_some())
    }

    /// What is published in the rooms that this node follows.
    pub fn feed(&self, timeout: Duration) -> RoomFeed<R> {
        RoomFeed {
            rooms: self.clone(),
            timeout,
            connection: None,
        }
    }
}

/// Reads the shards of the rooms that are followed, on a connection of its own.
pub struct RoomFeed<R> {
    rooms: RedisRooms<R>,
    timeout: Duration,
    connection: Option<MultiplexedConnection>,
}

impl<R: Runtime> RoomFeed<R> {
    /// Connects. From where on shards are read is forgotten: every room is to be loaded again.
    pub async fn connect(&mut self) -> Result<(), SharedError> {
        self.connection = None;
        let (connection, _) = self.rooms.link.connect().await?;
        lock(&self.rooms.followed).shards.clear();
        self.connection = Some(connection);
        Ok(())
    }

    /// What was published since, waiting so long for it. After an error it is to be connected anew.
    pub async fn next(&mut self, wait: Duration) -> Result<Vec<(RoomName, Update)>, SharedError> {
        let prefix = &self.rooms.link.config().prefix;
        let shards = lock(&self.rooms.followed).shards.clone();
        let connection = self.connection.as_mut();
        let connection =
            connection.ok_or_else(|| SharedError::Unavailable("not connected".to_owned()))?;
        let runtime = self.rooms.link.runtime();
        let mut call = if shards.is_empty() {
            // Whether the server is there is to be known all the same.
            runtime.sleep(wait).await;
            redis::cmd("PING")
        } else {
            let mut call = redis::cmd("XREAD");
            call.arg("COUNT").arg(READ);
            // A wait of zero would be for ever.
            call.arg("BLOCK")
                .arg(wait.as_millis().max(1).to_string())
                .arg("STREAMS");
            for shard in shards.keys() {
                call.arg(format!("{prefix}shard:{shard}"));
            }
            for last in shards.values() {
                call.arg(last);
            }
            call
        };
        let call = call.take();
        if shards.is_empty() {
            let asking = async {
                let pong: redis::RedisResult<String> = call.query_async(connection).await;
                pong.map_err(|error| shared_error(&error))
            };
            within(runtime, self.timeout, asking).await?;
            return Ok(Vec::new());
        }
        let reading = async {
            let reply: redis::RedisResult<Option<StreamReadReply>> =
                call.query_async(connection).await;
            reply.map_err(|error| shared_error(&error))
        };
        let reply = within(runtime, wait + self.timeout, reading).await?;
        let mut updates = Vec::new();
        let mut read = BTreeMap::new();
        for key in reply.into_iter().flat_map(|reply| reply.keys) {
            let shard = key
                .key
                .rsplit(':')
                .next()
                .and_then(|shard| shard.parse::<u32>().ok());
            for entry in key.ids {
                // What is not understood is found missing by whom it concerns.
                updates.extend(read_update(&entry));
                read.extend(shard.map(|shard| (shard, entry.id)));
            }
        }
        let mut followed = lock(&self.rooms.followed);
        for (shard, last) in read {
            // It may have been left, and followed again from another place.
            if let Some(known) = followed.shards.get_mut(&shard)
                && Some(&*known) == shards.get(&shard)
            {
                *known = last;
            }
        }
        Ok(updates)
    }
}

impl<R> fmt::Debug for RoomFeed<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RoomFeed").finish_non_exhaustive()
    }
}

/// Which stream carries a room (FNV-1a): the same on every node.
fn shard(room: &RoomName) -> u32 {
    let hash = room.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash % SHARDS
}

fn position(epoch: &str, offset: &str) -> Result<Position, SharedError> {
    let offset = offset.parse().ok();
    let offset =
        offset.ok_or_else(|| SharedError::Unavailable("an offset is not understood".to_owned()))?;
    Ok(Position {
        epoch: epoch.into(),
        offset,
    })
}

fn read_update(entry: &StreamId) -> Option<(RoomName, Update)> {
    let text = |field: &str| entry.get::<String>(field);
    let room = RoomName::new(&text("room")?)?;
    let update = Update {
        position: position(&text("epoch")?, &text("offset")?).ok()?,
        at_ms: text("at")?.parse().ok()?,
        data: Bytes::from(entry.get::<Vec<u8>>("data")?),
    };
    Some((room, update))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn lock(followed: &Mutex<Followed>) -> MutexGuard<'_, Followed> {
    // Nothing that can panic happens while it is held.
    followed.lock().unwrap_or_else(PoisonError::into_inner)
}
