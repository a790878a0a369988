//! What becomes of a client's frame.

use serde_json::value::RawValue;

use super::room::Room;
use super::{Access, Action, Authority, Now, Rooms, SocketId};
use crate::CloseCode;
use crate::encode;
use crate::guard::Guard;
use crate::log::Position;
use crate::protocol::{ClientFrame, ErrorCode, MAX_FRAME, RoomName, Unusable, one_line};

impl<A: Authority> Rooms<A> {
    /// A client has sent a text frame.
    pub fn frame(&mut self, now: Now, socket: SocketId, text: &str) {
        let settings = self.settings;
        let Some(known) = self.sockets.get_mut(&socket) else {
            return;
        };
        known.heard = now.monotonic;
        if text.len() > MAX_FRAME {
            self.close(now, socket, CloseCode::TooBig);
            return;
        }
        if !known.frames.check(settings.frames, now.monotonic).allowed {
            if known.excess.check(settings.excess, now.monotonic).allowed {
                let message = "too many frames; this one was not looked at";
                self.refuse(socket, None, ErrorCode::RateLimited, message);
            } else {
                self.close(now, socket, CloseCode::Limits);
            }
            return;
        }
        match ClientFrame::parse(text) {
            Err(Unusable::NotProtocol) => self.close(now, socket, CloseCode::Protocol),
            Err(Unusable::Refused(refusal)) => self.send(socket, encode::refused(&refusal)),
            Ok(ClientFrame::Ping) => self.send(socket, encode::pong()),
            Ok(ClientFrame::Subscribe { id, room, since }) => {
                self.subscribe(now, (socket, id), &room, since);
            }
            Ok(ClientFrame::Unsubscribe { id, room }) => self.unsubscribe(now, (socket, id), &room),
            Ok(ClientFrame::Publish { id, room, data }) => self.publish((socket, id), room, data),
            Ok(ClientFrame::Presence { id, room }) => self.watch((socket, id), &room),
        }
    }

    pub(super) fn access(&self, socket: SocketId, room: &RoomName) -> Access {
        let known = self.sockets.get(&socket);
        known.map_or(Access::default(), |known| {
            self.authority.access(&known.who, room)
        })
    }

    fn subscribe(
        &mut self,
        now: Now,
        (socket, id): (SocketId, u64),
        name: &RoomName,
        since: Option<Position>,
    ) {
        if !self.access(socket, name).subscribe {
            let message = "one may not enter this room";
            return self.refuse(socket, Some(id), ErrorCode::Forbidden, message);
        }
        let limit = self.settings.rooms;
        let Some(known) = self.sockets.get_mut(&socket) else {
            return;
        };
        if known.rooms.contains(name) {
            let message = "the connection has entered this room before";
            return self.refuse(socket, Some(id), ErrorCode::AlreadySubscribed, message);
        }
        if known.rooms.len() >= limit {
            let message = format!("a connection can be in {limit} rooms");
            return self.refuse(socket, Some(id), ErrorCode::TooManyRooms, &message);
        }
        known.rooms.insert(name.clone());
        let room = self.entered.entry(name.clone()).or_default();
        let ahead = since.as_ref().is_some_and(|since| room.is_ahead(since));
        if room.head.is_none() || room.loading || ahead {
            room.waiting.push((socket, id, since));
            self.load(name);
        } else {
            self.admit(now, name, (socket, id), since.as_ref(), true);
        }
    }

    /// Lets somebody in, with what they have missed. Without the log nobody can be told that what they
    /// have seen is lost: they are to ask again.
    pub(super) fn admit(
        &mut self,
        now: Now,
        name: &RoomName,
        (socket, id): (SocketId, u64),
        since: Option<&Position>,
        is_known: bool,
    ) {
        // Who enters is told where the room stands; what stands there already is not sent again.
        if self.guards.on(Guard::FlushBeforeJoin) {
            self.flush(now, name);
        }
        let (keep, guards) = ((self.settings.keep, now.wall_ms), self.guards);
        let degraded = self.degraded || !is_known;
        let room = self.entered.get_mut(name);
        let entered = room.and_then(|room| {
            let missed = since.map(|since| room.missed(since, keep, guards));
            let head = room.head.clone()?;
            match missed {
                Some(None) if !is_known => None,
                missed => Some((head, missed.flatten())),
            }
        });
        let Some((head, missed)) = entered else {
            if let Some(known) = self.sockets.get_mut(&socket) {
                known.rooms.remove(name);
            }
            let message = "the room cannot be entered just now";
            return self.refuse(socket, Some(id), ErrorCode::Unavailable, message);
        };
        if !self.sockets.contains_key(&socket) {
            return;
        }
        if let Some(room) = self.entered.get_mut(name) {
            room.subscribers.insert(socket);
        }
        let frame = encode::subscribed(id, &head, missed.as_deref(), degraded);
        self.send(socket, frame);
        self.joined(now, socket, name);
        self.keep(socket);
    }

    fn unsubscribe(&mut self, now: Now, (socket, id): (SocketId, u64), name: &RoomName) {
        let Some(known) = self.sockets.get_mut(&socket) else {
            return;
        };
        if !known.rooms.remove(name) {
            let message = "the connection is not in this room";
            return self.refuse(socket, Some(id), ErrorCode::NotSubscribed, message);
        }
        let who = known.who.clone();
        // The last updates come before the answer, and none after it.
        self.flush(now, name);
        self.leave(now, socket, &who, name);
        self.keep(socket);
        self.send(socket, encode::done(id));
    }

    fn publish(&mut self, (socket, id): (SocketId, u64), room: RoomName, data: &RawValue) {
        if !self.access(socket, &room).publish {
            let message = "one may not publish in this room";
            return self.refuse(socket, Some(id), ErrorCode::Forbidden, message);
        }
        let limit = self.settings.publish_bytes;
        if data.get().len() > limit {
            let message = format!("what is published has {limit} bytes at most");
            return self.refuse(socket, Some(id), ErrorCode::TooLarge, &message);
        }
        self.actions.push(Action::Append {
            room,
            data: one_line(data.get()),
            socket,
            id,
        });
    }

    fn watch(&mut self, (socket, id): (SocketId, u64), name: &RoomName) {
        let inside = |room: &&mut Room| room.subscribers.contains(&socket);
        let members = self.access(socket, name).members;
        let Some(room) = self.entered.get_mut(name).filter(inside) else {
            let message = "the connection is not in this room";
            return self.refuse(socket, Some(id), ErrorCode::NotSubscribed, message);
        };
        let frame = room.presence.watch(socket, id, members);
        self.keep(socket);
        self.send(socket, frame);
    }
}
