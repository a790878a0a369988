//! One node's rooms and connections.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use pitchey_resilience::Gcra;
use pitchey_runtime::Monotonic;
use serde::{Deserialize, Serialize};

use crate::CloseCode;
use crate::encode;
use crate::guard::{Guard, Guards};
use crate::log::{History, Position, Update};
use crate::protocol::{ErrorCode, Refusal, RoomName};
use crate::settings::Settings;

mod drain;
mod frames;
mod presence;
mod room;

use drain::Wave;
pub use presence::Others;
use room::{Arrived, Room};

/// A connection, by a number that the shell gives and never gives again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SocketId(pub u64);

/// What somebody may do in a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Be told its updates, and how many are there.
    pub subscribe: bool,
    /// Tell the others.
    pub publish: bool,
    /// Learn who is there.
    pub members: bool,
}

/// Says who may do what. `Who` is what is known of the one behind a connection.
pub trait Authority {
    /// Who is behind a connection.
    type Who: Clone;
    /// What they may do in a room.
    fn access(&self, who: &Self::Who, room: &RoomName) -> Access;
    /// The name under which they are present; without one they are only counted.
    fn member<'a>(&self, who: &'a Self::Who) -> Option<&'a str>;
}

/// The time, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For deadlines.
    pub monotonic: Monotonic,
    /// For the age of updates: milliseconds since 1970.
    pub wall_ms: u64,
}

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write a frame.
    Send {
        /// To whom.
        socket: SocketId,
        /// Text.
        frame: Bytes,
    },
    /// Write a ping of the connection's protocol.
    Ping(SocketId),
    /// Write what waits, close, and forget the connection: it is not known any more.
    Close {
        /// Which.
        socket: SocketId,
        /// Why.
        code: CloseCode,
    },
    /// Follow the room in the log, then read what there is of it: [`Rooms::loaded`].
    Load(RoomName),
    /// Nobody is in the room any more.
    Leave(RoomName),
    /// Publish: [`Rooms::appended`].
    Append {
        /// Where.
        room: RoomName,
        /// What: JSON in one line.
        data: Bytes,
        /// Who waits for the answer.
        socket: SocketId,
        /// Under which id.
        id: u64,
    },
    /// Ask the log where these rooms stand: [`Rooms::heads`].
    Check(Vec<RoomName>),
    /// What must be kept of the connection is no more what it was: [`Rooms::attachment`]. Only where
    /// connections outlive this memory.
    Keep(SocketId),
}

/// The log cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log cannot be reached")]
pub struct Unavailable;

/// All that must be kept of a connection to go on with it after this memory was given up, while nothing
/// waited to be sent ([`Rooms::next_tick`]) and nothing was published since that those here were not sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment<W> {
    /// Who is behind it.
    pub who: W,
    /// The rooms that it is in.
    pub rooms: Vec<RoomName>,
    /// Those of them whose presence it is told.
    pub watched: Vec<RoomName>,
}

struct Socket<W> {
    who: W,
    rooms: BTreeSet<RoomName>,
    frames: Gcra,
    excess: Gcra,
    heard: Monotonic,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Flush(RoomName),
    Presence(RoomName),
    Reload(RoomName),
    Ping,
    Sweep,
    Check,
    Wave,
}

/// The rooms of one node and the connections in them.
pub struct Rooms<A: Authority> {
    authority: A,
    settings: Settings,
    pub(crate) guards: Guards,
    sockets: BTreeMap<SocketId, Socket<A::Who>>,
    entered: BTreeMap<RoomName, Room>,
    timers: BTreeSet<(Monotonic, Timer)>,
    actions: Vec<Action>,
    degraded: bool,
    pinging: u64,
    waves: Vec<Wave>,
    /// Connections outlive this memory.
    hibernating: bool,
}

impl<A: Authority> Rooms<A> {
    /// Rooms that nobody is in.
    pub fn new(authority: A, settings: Settings, now: Now) -> Self {
        let at = |after| now.monotonic + after;
        let mut rooms = Self::hibernating(authority, settings);
        rooms.hibernating = false;
        rooms.timers = BTreeSet::from([
            (at(drain::SECOND), Timer::Ping),
            (at(settings.sweep), Timer::Sweep),
            (at(settings.check), Timer::Check),
        ]);
        rooms
    }

    /// Rooms where the log is, on a platform that looks after connections while nothing happens: nobody is
    /// pinged or looked for, so that no timer runs unless something waits. Their connections outlive this
    /// memory by [`attachment`](Self::attachment) and [`restore`](Self::restore).
    pub fn hibernating(authority: A, settings: Settings) -> Self {
        Self {
            timers: BTreeSet::new(),
            authority,
            settings,
            guards: Guards::default(),
            sockets: BTreeMap::new(),
            entered: BTreeMap::new(),
            actions: Vec::new(),
            degraded: false,
            pinging: 0,
            waves: Vec::new(),
            hibernating: true,
        }
    }

    /// What is to be done, in this order. To be asked for after every input.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// When [`tick`](Self::tick) is to be called at the latest.
    pub fn next_tick(&self) -> Option<Monotonic> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// How many connections there are.
    pub fn socket_count(&self) -> usize {
        self.sockets.len()
    }

    /// Every room that somebody is in or waits for, and how many are.
    pub fn rooms(&self) -> impl Iterator<Item = (&RoomName, usize)> {
        self.entered
            .iter()
            .map(|(name, room)| (name, room.subscribers.len()))
    }

    /// Where a room stands, once that is known.
    pub fn position(&self, room: &RoomName) -> Option<&Position> {
        self.entered.get(room)?.head.as_ref()
    }

    /// Who is behind each connection.
    pub fn everyone(&self) -> impl Iterator<Item = &A::Who> {
        self.sockets.values().map(|socket| &socket.who)
    }

    /// Whether anybody is in the room or waits for it.
    pub fn has_room(&self, room: &RoomName) -> bool {
        self.entered.contains_key(room)
    }

    /// Whether answers are marked as given without the log.
    pub fn set_degraded(&mut self, degraded: bool) {
        self.degraded = degraded;
    }

    /// A connection was made.
    pub fn connect(&mut self, now: Now, socket: SocketId, who: A::Who) {
        let known = Socket {
            who,
            rooms: BTreeSet::new(),
            frames: Gcra::default(),
            excess: Gcra::default(),
            heard: now.monotonic,
        };
        self.sockets.insert(socket, known);
    }

    /// A connection has ended by itself.
    pub fn disconnect(&mut self, now: Now, socket: SocketId) {
        self.forget(now, socket);
    }

    /// Something was heard that is no frame: a pong, a ping.
    pub fn heard(&mut self, now: Now, socket: SocketId) {
        if let Some(socket) = self.sockets.get_mut(&socket) {
            socket.heard = now.monotonic;
        }
    }

    /// Ends a connection.
    pub fn close(&mut self, now: Now, socket: SocketId, code: CloseCode) {
        if self.forget(now, socket) {
            self.actions.push(Action::Close { socket, code });
        }
    }

    /// Ends the connections of all whom `is_meant` says.
    pub fn close_where(
        &mut self,
        now: Now,
        code: CloseCode,
        is_meant: impl Fn(&A::Who) -> bool,
    ) -> usize {
        let meant = self
            .sockets
            .iter()
            .filter(|(_, socket)| is_meant(&socket.who));
        let meant: Vec<SocketId> = meant.map(|(id, _)| *id).collect();
        for socket in &meant {
            self.close(now, *socket, code);
        }
        meant.len()
    }

    /// What must be kept of a connection.
    pub fn attachment(&self, socket: SocketId) -> Option<Attachment<A::Who>> {
        let known = self.sockets.get(&socket)?;
        let inside = |name: &&RoomName| {
            let room = self.entered.get(*name);
            room.is_some_and(|room| room.subscribers.contains(&socket))
        };
        let rooms: Vec<RoomName> = known.rooms.iter().filter(inside).cloned().collect();
        let watched = rooms.iter().filter(|name| {
            let room = self.entered.get(*name);
            room.is_some_and(|room| room.presence.is_watched_by(socket))
        });
        Some(Attachment {
            who: known.who.clone(),
            watched: watched.cloned().collect(),
            rooms,
        })
    }

    /// Goes on with connections. Nobody has come or gone by that.
    pub fn restore(
        &mut self,
        now: Now,
        attachments: impl IntoIterator<Item = (SocketId, Attachment<A::Who>)>,
    ) {
        for (socket, attachment) in attachments {
            self.connect(now, socket, attachment.who);
            for name in attachment.rooms {
                self.entered
                    .entry(name.clone())
                    .or_default()
                    .subscribers
                    .insert(socket);
                if let Some(socket) = self.sockets.get_mut(&socket) {
                    socket.rooms.insert(name.clone());
                }
                self.joined(now, socket, &name);
                self.load(&name);
            }
            for name in attachment.watched {
                let by_name = self.access(socket, &name).members;
                if let Some(room) = self.entered.get_mut(&name) {
                    room.presence.is_told(socket, by_name);
                }
            }
        }
        for room in self.entered.values_mut() {
            room.presence.settle();
        }
        self.timers
            .retain(|(_, timer)| !matches!(timer, Timer::Presence(_)));
    }

    /// The log tells an update: in whatever order, again, or of a room that nobody is in.
    pub fn updated(&mut self, now: Now, name: &RoomName, update: Update) {
        let guards = self.guards;
        let Some(room) = self.entered.get_mut(name) else {
            return;
        };
        match room.arrive(update, guards) {
            Arrived::Nothing => {}
            Arrived::Next(update) => self.deliver(now, name, &update),
            Arrived::Gap => self.load(name),
        }
    }

    /// What was asked for by [`Action::Load`].
    pub fn loaded(&mut self, now: Now, name: &RoomName, outcome: Result<History, Unavailable>) {
        let Some(room) = self.entered.get_mut(name) else {
            return;
        };
        room.loading = false;
        let waiting = std::mem::take(&mut room.waiting);
        let early = std::mem::take(&mut room.early);
        let is_known = outcome.is_ok();
        if let Ok(history) = outcome {
            self.catch_up(now, name, history);
        }
        for (socket, id, since) in waiting {
            self.admit(now, name, (socket, id), since.as_ref(), is_known);
        }
        for update in early {
            self.updated(now, name, update);
        }
        if !is_known {
            let at = now.monotonic + self.settings.reload;
            self.timers.insert((at, Timer::Reload(name.clone())));
        }
        self.leave_if_empty(name);
    }

    /// Where the log stands, for [`Action::Check`].
    pub fn heads(&mut self, heads: impl IntoIterator<Item = (RoomName, Position)>) {
        for (name, head) in heads {
            let room = self.entered.get(&name);
            let known = room.and_then(|room| room.head.as_ref());
            let behind =
                known.is_some_and(|known| known.epoch != head.epoch || known.offset < head.offset);
            if behind && self.guards.on(Guard::CheckHeads) {
                self.load(&name);
            }
        }
    }

    /// Reads every room anew: the log was away, and may not be what it was.
    pub fn reload_all(&mut self) {
        let names: Vec<RoomName> = self.entered.keys().cloned().collect();
        for name in names {
            self.load(&name);
        }
    }

    /// What came of [`Action::Append`].
    pub fn appended(&mut self, socket: SocketId, id: u64, outcome: Result<Position, Unavailable>) {
        match outcome {
            Ok(position) => self.send(socket, encode::published(id, &position)),
            Err(Unavailable) => {
                let message = "the log cannot be reached; it may be published nevertheless";
                self.refuse(socket, Some(id), ErrorCode::Unavailable, message);
            }
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Now) {
        while let Some((at, _)) = self.timers.first()
            && *at <= now.monotonic
            && let Some((_, timer)) = self.timers.pop_first()
        {
            let again = |after| now.monotonic + after;
            match timer {
                Timer::Flush(name) => self.flush_if_due(now, &name),
                Timer::Presence(name) => self.tell_presence(&name),
                Timer::Reload(name) => self.load(&name),
                Timer::Ping => {
                    self.ping();
                    self.timers.insert((again(drain::SECOND), Timer::Ping));
                }
                Timer::Sweep => {
                    self.sweep(now);
                    self.timers
                        .insert((again(self.settings.sweep), Timer::Sweep));
                }
                Timer::Check => {
                    let known = self.entered.iter().filter(|(_, room)| room.head.is_some());
                    let names: Vec<RoomName> = known.map(|(name, _)| name.clone()).collect();
                    if !names.is_empty() {
                        self.actions.push(Action::Check(names));
                    }
                    self.timers
                        .insert((again(self.settings.check), Timer::Check));
                }
                Timer::Wave => self.next_wave(now),
            }
        }
    }

    /// Brings a room to where the log is, or tells those in it that something is lost.
    fn catch_up(&mut self, now: Now, name: &RoomName, history: History) {
        let Some(room) = self.entered.get_mut(name) else {
            return;
        };
        let keep = (self.settings.keep, now.wall_ms);
        let Some(head) = room.head.clone() else {
            room.begin(name, history, keep);
            return;
        };
        let same = head.epoch == history.head.epoch || !self.guards.on(Guard::CheckEpoch);
        if same && history.head.offset <= head.offset {
            return;
        }
        let first = history.head.offset - history.updates.len() as u64;
        if same && first <= head.offset {
            for update in history.updates {
                if update.position.offset > head.offset {
                    self.deliver(now, name, &update);
                }
            }
            return;
        }
        self.flush(now, name);
        let Some(room) = self.entered.get_mut(name) else {
            return;
        };
        let subscribers = room.subscribers.clone();
        room.begin(name, history, keep);
        if self.guards.on(Guard::TellLoss) {
            for socket in subscribers {
                self.close(now, socket, CloseCode::Gap);
            }
        }
    }

    /// Remembers the next update of a room, and sends it now or with others.
    fn deliver(&mut self, now: Now, name: &RoomName, update: &Update) {
        let settings = self.settings;
        let Some(room) = self.entered.get_mut(name) else {
            return;
        };
        let item = encode::item(name, update);
        room.remember(update, item.clone(), (settings.keep, now.wall_ms));
        if room.subscribers.is_empty() {
            return;
        }
        let quiet = room.quiet_until.is_none_or(|until| until <= now.monotonic);
        room.pending_bytes += item.len();
        room.pending.push(item);
        let full = room.pending.len() >= settings.batch_updates
            || room.pending_bytes >= settings.batch_bytes;
        if (quiet && room.pending.len() == 1) || full {
            self.flush(now, name);
        } else if let Some(until) = room.quiet_until {
            self.timers.insert((until, Timer::Flush(name.clone())));
        }
    }

    fn flush_if_due(&mut self, now: Now, name: &RoomName) {
        let due = self.entered.get(name).and_then(|room| room.quiet_until);
        if due.is_some_and(|due| due <= now.monotonic) {
            self.flush(now, name);
        }
    }

    fn flush(&mut self, now: Now, name: &RoomName) {
        let Some(room) = self.entered.get_mut(name) else {
            return;
        };
        if room.pending.is_empty() {
            return;
        }
        let frame = encode::batch(room.pending.iter());
        room.pending.clear();
        room.pending_bytes = 0;
        room.quiet_until = Some(now.monotonic + self.settings.window);
        self.actions
            .extend(room.subscribers.iter().map(|socket| Action::Send {
                socket: *socket,
                frame: frame.clone(),
            }));
    }

    fn load(&mut self, name: &RoomName) {
        if let Some(room) = self.entered.get_mut(name)
            && !room.loading
        {
            room.loading = true;
            self.actions.push(Action::Load(name.clone()));
        }
    }

    fn forget(&mut self, now: Now, socket: SocketId) -> bool {
        let Some(known) = self.sockets.remove(&socket) else {
            return false;
        };
        for name in known.rooms {
            self.leave(now, socket, &known.who, &name);
        }
        true
    }

    fn leave(&mut self, now: Now, socket: SocketId, who: &A::Who, name: &RoomName) {
        let Some(room) = self.entered.get_mut(name) else {
            return;
        };
        room.waiting.retain(|(waiting, ..)| *waiting != socket);
        if room.subscribers.remove(&socket) {
            self.left(now, socket, who, name);
        }
        self.leave_if_empty(name);
    }

    fn leave_if_empty(&mut self, name: &RoomName) {
        if self.entered.get(name).is_some_and(Room::is_empty) {
            self.entered.remove(name);
            self.actions.push(Action::Leave(name.clone()));
        }
    }

    fn keep(&mut self, socket: SocketId) {
        if self.hibernating {
            self.actions.push(Action::Keep(socket));
        }
    }

    fn send(&mut self, socket: SocketId, frame: Bytes) {
        if self.sockets.contains_key(&socket) {
            self.actions.push(Action::Send { socket, frame });
        }
    }

    fn refuse(&mut self, socket: SocketId, id: Option<u64>, code: ErrorCode, message: &str) {
        self.send(socket, encode::refused(&Refusal::new(id, code, message)));
    }

    /// Pings a part of the connections each second, so that all have their turn in time.
    fn ping(&mut self) {
        let turns = self.settings.ping.as_secs().max(1);
        self.pinging = (self.pinging + 1) % turns;
        let due = self
            .sockets
            .keys()
            .filter(|id| id.0 % turns == self.pinging);
        self.actions.extend(due.map(|id| Action::Ping(*id)));
    }

    fn sweep(&mut self, now: Now) {
        let limit = self.settings.stale;
        let stale = self.sockets.iter();
        let stale = stale.filter(|(_, socket)| now.monotonic - socket.heard >= limit);
        let stale: Vec<SocketId> = stale.map(|(id, _)| *id).collect();
        for socket in stale {
            self.close(now, socket, CloseCode::Stale);
        }
    }
}

#[cfg(test)]
mod tests;
