//! The order of a room's updates: positions, updates, what is left of them, and a log in memory.
//!
//! A log gives each update of a room the next offset. It keeps the newest updates only; when it cannot
//! go on counting where it stopped, a new epoch begins, and offsets of different epochs say nothing of
//! each other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::protocol::RoomName;

/// A place in the order of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Under which the offset was counted.
    pub epoch: Arc<str>,
    /// The number of the update; zero is before the first.
    pub offset: u64,
}

/// One thing that was published in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Its place.
    pub position: Position,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// JSON.
    pub data: Bytes,
}

/// What a log has of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The newest position.
    pub head: Position,
    /// The newest updates without a gap, the last of them at the head; fewer than there were.
    pub updates: Vec<Update>,
}

/// How much is kept of each room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// So many updates at most.
    pub updates: usize,
    /// So old at most.
    pub age: Duration,
    /// Of so many bytes at most, but always the newest update.
    pub bytes: usize,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            updates: 300,
            age: Duration::from_mins(5),
            bytes: 512 * 1024,
        }
    }
}

/// A log in memory: for a server that is alone, and for tests.
///
/// Rooms that nothing was published in for as long as updates are kept are forgotten, and begin with an
/// epoch of their own should they be asked for again.
#[derive(Debug)]
pub struct MemLog {
    epoch: String,
    begun: u64,
    keep: Keep,
    rooms: BTreeMap<RoomName, Shelf>,
    /// What was published under an id, and when.
    told: BTreeMap<String, (Position, u64)>,
}

/// What was published under an id is published once within this time.
pub const TOLD_KEPT: Duration = Duration::from_hours(1);

/// So many ids are remembered.
const MOST_TOLD: usize = 100_000;

#[derive(Debug)]
struct Shelf {
    head: Position,
    touched_ms: u64,
    bytes: usize,
    updates: VecDeque<Update>,
}

impl MemLog {
    /// A log that has nothing. `epoch` must never have been used before.
    pub fn new(epoch: String, keep: Keep) -> Self {
        Self {
            epoch,
            begun: 0,
            keep,
            rooms: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Where what comes under this id was published before, if it was.
    pub fn told(&self, id: &str) -> Option<Position> {
        self.told.get(id).map(|(position, _)| position.clone())
    }

    /// Remembers where something was published under an id, unless too many are remembered: then it may be
    /// published twice.
    pub fn tell(&mut self, id: &str, position: &Position, now_ms: u64) {
        if self.told.len() < MOST_TOLD {
            self.told.insert(id.to_owned(), (position.clone(), now_ms));
        }
    }

    /// Gives what is published the next place of the room.
    pub fn append(&mut self, room: &RoomName, data: Bytes, now_ms: u64) -> Update {
        let keep = self.keep;
        let shelf = self.shelf(room, now_ms);
        shelf.head.offset += 1;
        shelf.touched_ms = now_ms;
        let update = Update {
            position: shelf.head.clone(),
            at_ms: now_ms,
            data,
        };
        shelf.bytes += update.data.len();
        shelf.updates.push_back(update.clone());
        shelf.trim(keep, now_ms);
        update
    }

    /// What there is of the room.
    pub fn history(&mut self, room: &RoomName, now_ms: u64) -> History {
        let keep = self.keep;
        let shelf = self.shelf(room, now_ms);
        shelf.touched_ms = now_ms;
        shelf.trim(keep, now_ms);
        History {
            head: shelf.head.clone(),
            updates: shelf.updates.iter().cloned().collect(),
        }
    }

    /// Forgets rooms that nobody has touched for twice as long as updates are kept, but for those that
    /// somebody is in.
    pub fn sweep(&mut self, now_ms: u64, in_use: impl Fn(&RoomName) -> bool) {
        let longest = millis(TOLD_KEPT);
        self.told
            .retain(|_, (_, at_ms)| now_ms.saturating_sub(*at_ms) <= longest);
        let longest = 2 * millis(self.keep.age);
        self.rooms.retain(|room, shelf| {
            now_ms.saturating_sub(shelf.touched_ms) <= longest || in_use(room)
        });
    }

    /// How many rooms are remembered.
    pub fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Whether no room is.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    fn shelf(&mut self, room: &RoomName, now_ms: u64) -> &mut Shelf {
        self.rooms.entry(room.clone()).or_insert_with(|| {
            self.begun += 1;
            Shelf {
                head: Position {
                    epoch: format!("{}-{}", self.epoch, self.begun).into(),
                    offset: 0,
                },
                touched_ms: now_ms,
                bytes: 0,
                updates: VecDeque::new(),
            }
        })
    }
}

impl Shelf {
    fn trim(&mut self, keep: Keep, now_ms: u64) {
        let age = millis(keep.age);
        while let Some(oldest) = self.updates.front() {
            let too_old = now_ms.saturating_sub(oldest.at_ms) > age;
            let too_many = self.updates.len() > keep.updates
                || (self.bytes > keep.bytes && self.updates.len() > 1);
            if !(too_old || too_many) {
                break;
            }
            self.bytes -= oldest.data.len();
            self.updates.pop_front();
        }
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> RoomName {
        RoomName::new("lists").expect("a name")
    }

    fn log() -> MemLog {
        let keep = Keep {
            updates: 3,
            age: Duration::from_secs(10),
            bytes: 100,
        };
        MemLog::new("e".to_owned(), keep)
    }

    fn offsets(history: &History) -> Vec<u64> {
        let offsets = history.updates.iter().map(|u| u.position.offset);
        offsets.collect()
    }

    #[test]
    fn offsets_grow_by_one_and_only_the_newest_are_kept() {
        let mut log = log();
        for n in 1..=5 {
            let update = log.append(&room(), Bytes::from_static(b"1"), 1000);
            assert_eq!(update.position.offset, n);
        }
        let history = log.history(&room(), 1000);
        assert_eq!((history.head.offset, offsets(&history)), (5, vec![3, 4, 5]));
        let history = log.history(&room(), 12_000);
        assert_eq!((history.head.offset, offsets(&history)), (5, vec![]));
    }

    #[test]
    fn the_newest_is_kept_whatever_its_size() {
        let mut log = log();
        log.append(&room(), Bytes::from_static(b"1"), 0);
        log.append(&room(), Bytes::from(vec![b' '; 200]), 0);
        assert_eq!(offsets(&log.history(&room(), 0)), [2]);
    }

    #[test]
    fn a_room_that_was_forgotten_begins_another_epoch() {
        let mut log = log();
        let first = log.append(&room(), Bytes::from_static(b"1"), 0).position;
        log.sweep(100_000, |_| true);
        assert_eq!(log.history(&room(), 0).head, first);
        log.sweep(100_000, |_| false);
        assert!(log.is_empty());
        let second = log.append(&room(), Bytes::from_static(b"1"), 0).position;
        assert_eq!(second.offset, 1);
        assert_ne!(first.epoch, second.epoch);
    }
}
