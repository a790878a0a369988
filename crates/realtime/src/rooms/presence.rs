//! Who is in a room: here, and on other nodes as far as they have told.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{Action, Authority, Now, Rooms, SocketId, Timer};
use crate::encode::{self, Change, Present};
use crate::protocol::RoomName;

/// Who is in a room on the other nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// By name.
    pub members: BTreeSet<String>,
    /// Those without one.
    pub anonymous: usize,
}

#[derive(Default)]
pub(super) struct Presence {
    /// How many connections each member has here.
    members: BTreeMap<String, usize>,
    anonymous: usize,
    others: Others,
    /// Who is told, and whether by name.
    watchers: BTreeMap<SocketId, bool>,
    /// What they were told last.
    told: BTreeSet<String>,
    told_count: usize,
    is_due: bool,
}

impl Presence {
    fn all(&self) -> (BTreeSet<String>, usize) {
        let mut members = self.others.members.clone();
        members.extend(self.members.keys().cloned());
        let count = members.len() + self.anonymous + self.others.anonymous;
        (members, count)
    }

    pub(super) fn watch(&mut self, socket: SocketId, id: u64, by_name: bool) -> Bytes {
        let (members, count) = self.all();
        if self.watchers.is_empty() {
            self.told.clone_from(&members);
            self.told_count = count;
        }
        self.is_told(socket, by_name);
        let members = by_name.then_some(&members);
        encode::present(id, &Present { count, members })
    }

    pub(super) fn is_told(&mut self, socket: SocketId, by_name: bool) {
        self.watchers.insert(socket, by_name);
    }

    pub(super) fn is_watched_by(&self, socket: SocketId) -> bool {
        self.watchers.contains_key(&socket)
    }

    /// Those who are here are those of whom the watchers were told.
    pub(super) fn settle(&mut self) {
        (self.told, self.told_count) = self.all();
        self.is_due = false;
    }
}

impl<A: Authority> Rooms<A> {
    /// Who is in the rooms of this node, for the other nodes.
    pub fn present(&self) -> Vec<(RoomName, Others)> {
        let rooms = self
            .entered
            .iter()
            .filter(|(_, room)| !room.subscribers.is_empty());
        let here = rooms.map(|(name, room)| {
            let presence = &room.presence;
            let here = Others {
                members: presence.members.keys().cloned().collect(),
                anonymous: presence.anonymous,
            };
            (name.clone(), here)
        });
        here.collect()
    }

    /// Who is in a room on the other nodes, all together.
    pub fn others(&mut self, now: Now, name: &RoomName, others: Others) {
        if let Some(room) = self.entered.get_mut(name)
            && room.presence.others != others
        {
            room.presence.others = others;
            self.presence_changed(now, name);
        }
    }

    pub(super) fn joined(&mut self, now: Now, socket: SocketId, name: &RoomName) {
        let known = self.sockets.get(&socket);
        let member = known.and_then(|known| self.authority.member(&known.who));
        if let Some(room) = self.entered.get_mut(name) {
            match member {
                Some(member) => *room.presence.members.entry(member.to_owned()).or_default() += 1,
                None => room.presence.anonymous += 1,
            }
            self.presence_changed(now, name);
        }
    }

    pub(super) fn left(&mut self, now: Now, socket: SocketId, who: &A::Who, name: &RoomName) {
        let Some(room) = self.entered.get_mut(name) else {
            return;
        };
        let presence = &mut room.presence;
        presence.watchers.remove(&socket);
        match self.authority.member(who) {
            Some(member) => {
                if let Some(connections) = presence.members.get_mut(member) {
                    *connections -= 1;
                    if *connections == 0 {
                        presence.members.remove(member);
                    }
                }
            }
            None => presence.anonymous = presence.anonymous.saturating_sub(1),
        }
        self.presence_changed(now, name);
    }

    fn presence_changed(&mut self, now: Now, name: &RoomName) {
        if let Some(room) = self.entered.get_mut(name)
            && !room.presence.watchers.is_empty()
            && !std::mem::replace(&mut room.presence.is_due, true)
        {
            let at = now.monotonic + self.settings.presence_window;
            self.timers.insert((at, Timer::Presence(name.clone())));
        }
    }

    pub(super) fn tell_presence(&mut self, name: &RoomName) {
        let Some(room) = self.entered.get_mut(name) else {
            return;
        };
        let presence = &mut room.presence;
        presence.is_due = false;
        let (members, count) = presence.all();
        if members == presence.told && count == presence.told_count {
            return;
        }
        let named = encode::presence_change(
            name,
            Change {
                count,
                joined: members.difference(&presence.told).collect(),
                left: presence.told.difference(&members).collect(),
            },
        );
        let counted = Change {
            count,
            joined: Vec::new(),
            left: Vec::new(),
        };
        let counted = encode::presence_change(name, counted);
        let recounted = count != presence.told_count;
        for (socket, by_name) in &presence.watchers {
            if *by_name || recounted {
                let frame = if *by_name { &named } else { &counted };
                self.actions.push(Action::Send {
                    socket: *socket,
                    frame: frame.clone(),
                });
            }
        }
        presence.told = members;
        presence.told_count = count;
    }
}
