//! Who may do what in a room: what the ticket says, by the rules of `model`.

use pitchey_model::permission::{RoomRight, Verdict};
use pitchey_model::room::Room;
use pitchey_model::ticket::Ticket;
use pitchey_realtime::{Access, Authority, RoomName};
use std::sync::Arc;

/// Reads tickets.
#[derive(Clone, Copy, Debug)]
pub struct Tickets;

/// Who is behind a connection.
#[derive(Clone, Debug)]
pub struct Guest {
    /// What let them in.
    pub ticket: Arc<Ticket>,
    /// The account as text, under which it is present.
    pub member: Option<Arc<str>>,
}

impl Guest {
    /// The holder of a ticket.
    pub fn new(ticket: Ticket) -> Self {
        let member = ticket.holder.map(|holder| holder.user.to_string().into());
        Self {
            ticket: Arc::new(ticket),
            member,
        }
    }
}

impl Authority for Tickets {
    type Who = Guest;

    fn access(&self, who: &Guest, room: &RoomName) -> Access {
        let Ok(room) = room.as_str().parse::<Room>() else {
            return Access::default();
        };
        let may = |right| who.ticket.may(room, right) == Verdict::Allowed;
        Access {
            subscribe: may(RoomRight::Enter),
            publish: may(RoomRight::Publish),
            members: may(RoomRight::SeeMembers),
        }
    }

    fn member<'a>(&self, who: &'a Guest) -> Option<&'a str> {
        who.member.as_deref()
    }
}
