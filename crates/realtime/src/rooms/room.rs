//! What a node knows of one room.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use pitchey_runtime::Monotonic;

use super::SocketId;
use super::presence::Presence;
use crate::encode;
use crate::guard::{Guard, Guards};
use crate::log::{History, Keep, Position, Update, millis};
use crate::protocol::RoomName;

/// So many updates are held while the room is loaded. More are found missing, and loaded.
const EARLY: usize = 512;

#[derive(Default)]
pub(super) struct Room {
    /// The newest update that those in the room were sent or that waits for its window.
    pub(super) head: Option<Position>,
    pub(super) loading: bool,
    /// Updates that came while the room was loaded.
    pub(super) early: Vec<Update>,
    pub(super) subscribers: BTreeSet<SocketId>,
    /// Who enters when the room is loaded, under which id, and since when.
    pub(super) waiting: Vec<(SocketId, u64, Option<Position>)>,
    pub(super) pending: Vec<Bytes>,
    pub(super) pending_bytes: usize,
    /// Until then what comes waits for others.
    pub(super) quiet_until: Option<Monotonic>,
    pub(super) presence: Presence,
    ring: VecDeque<Kept>,
    ring_bytes: usize,
}

struct Kept {
    offset: u64,
    at_ms: u64,
    item: Bytes,
}

/// What to do with an update that has come.
pub(super) enum Arrived {
    Nothing,
    Next(Update),
    Gap,
}

impl Room {
    pub(super) fn is_empty(&self) -> bool {
        self.subscribers.is_empty() && self.waiting.is_empty()
    }

    pub(super) fn arrive(&mut self, update: Update, guards: Guards) -> Arrived {
        let Some(head) = self.head.as_ref().filter(|_| !self.loading) else {
            if self.early.len() < EARLY {
                self.early.push(update);
            }
            return Arrived::Nothing;
        };
        let same = head.epoch == update.position.epoch || !guards.on(Guard::CheckEpoch);
        let offset = update.position.offset;
        if same && offset <= head.offset && guards.on(Guard::IgnoreOld) {
            return Arrived::Nothing;
        }
        if same && (offset <= head.offset + 1 || !guards.on(Guard::CheckGap)) {
            return Arrived::Next(update);
        }
        self.early.push(update);
        Arrived::Gap
    }

    /// Begins with what the log has, whatever was known.
    pub(super) fn begin(&mut self, name: &RoomName, history: History, keep: (Keep, u64)) {
        self.ring.clear();
        self.ring_bytes = 0;
        for update in &history.updates {
            self.remember(update, encode::item(name, update), keep);
        }
        self.head = Some(history.head);
    }

    pub(super) fn remember(&mut self, update: &Update, item: Bytes, keep: (Keep, u64)) {
        self.head = Some(update.position.clone());
        self.ring_bytes += item.len();
        self.ring.push_back(Kept {
            offset: update.position.offset,
            at_ms: update.at_ms,
            item,
        });
        self.trim(keep);
    }

    fn trim(&mut self, (keep, now_ms): (Keep, u64)) {
        let age = millis(keep.age);
        while let Some(oldest) = self.ring.front() {
            let too_old = now_ms.saturating_sub(oldest.at_ms) > age;
            let too_many = self.ring.len() > keep.updates
                || (self.ring_bytes > keep.bytes && self.ring.len() > 1);
            if !(too_old || too_many) {
                break;
            }
            self.ring_bytes -= oldest.item.len();
            self.ring.pop_front();
        }
    }

    /// Exactly what was published after `since`, if that is known.
    pub(super) fn missed(
        &mut self,
        since: &Position,
        keep: (Keep, u64),
        guards: Guards,
    ) -> Option<Vec<Bytes>> {
        self.trim(keep);
        let head = self.head.as_ref()?;
        if head.epoch != since.epoch && guards.on(Guard::CheckEpoch) {
            return None;
        }
        let behind = head.offset.checked_sub(since.offset)?;
        let behind = usize::try_from(behind).ok()?;
        let first = self.ring.len().checked_sub(behind)?;
        let missed = self.ring.range(first..);
        debug_assert!(missed.clone().next().is_none_or(|kept| {
            kept.offset == since.offset + 1
                || !guards.on(Guard::CheckGap)
                || !guards.on(Guard::IgnoreOld)
        }));
        Some(missed.map(|kept| kept.item.clone()).collect())
    }

    /// Whether the log may know of `since` what is not known here: it was seen on another node.
    pub(super) fn is_ahead(&self, since: &Position) -> bool {
        let head = self.head.as_ref();
        head.is_some_and(|head| head.epoch != since.epoch || head.offset < since.offset)
    }
}
