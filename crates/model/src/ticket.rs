//! Tickets: what lets one connect for a minute, and be who one is there, without any database.
//!
//! A ticket is signed (HMAC-SHA256) by who knows who asks and what they may see, and read by who has the
//! same key. It fits into a header field: two parts of URL-safe Base64 with a dot between them.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::permission::{self, RoomRight, Verdict};
use crate::room::Room;
use crate::{Role, SessionId, UserId};

/// How long a ticket lets one connect.
pub const LIFETIME: Duration = Duration::seconds(60);

/// The most rooms that a ticket names.
pub const MAX_ROOMS: usize = 32;

/// The longest ticket, in bytes: as long as one with every room, and a little.
pub const MAX_BYTES: usize = 4096;

/// What every signature is over, before the ticket: a key that signs other things, too, does not sign
/// tickets by accident.
const CONTEXT: &[u8] = b"pitchey realtime ticket 1\n";

/// What a ticket says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// Names this ticket among all: it lets one connect once.
    pub id: Uuid,
    /// Who connects, if they are signed in.
    pub holder: Option<Holder>,
    /// The rooms about one thing that they may enter: whoever signed has looked.
    pub rooms: BTreeSet<Room>,
    /// In seconds since 1970.
    pub expires_at: i64,
}

/// Who is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// The account.
    pub user: UserId,
    /// What it is.
    pub role: Role,
    /// The session whose end ends the connection.
    pub session: SessionId,
}

impl Ticket {
    /// May the holder do this in a room?
    pub fn may(&self, room: Room, right: RoomRight) -> Verdict {
        let inside = match room {
            Room::User(user) => self.holder.is_some_and(|holder| holder.user == user),
            Room::Pitch(_) | Room::Nda(_) => self.rooms.contains(&room),
            Room::Lists | Room::Ops => true,
        };
        permission::room(self.holder.map(|holder| holder.role), room, inside, right)
    }
}

/// Why a ticket is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTicket {
    /// It is not of the shape of a ticket.
    #[error("it is malformed")]
    Malformed,
    /// Nobody signed it whom we know.
    #[error("it is not signed by a known key")]
    Forged,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
}

/// A key is too short to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key for tickets has {} bytes at least", TicketKeys::MIN_BYTES)]
pub struct ShortKey;

/// The keys: one that signs, and perhaps the one before it, whose tickets are still good.
#[derive(Clone)]
pub struct TicketKeys {
    current: Hmac<Sha256>,
    previous: Option<Hmac<Sha256>>,
}

impl std::fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketKeys(…)")
    }
}

impl TicketKeys {
    /// How long a key is at least.
    pub const MIN_BYTES: usize = 32;

    /// The keys. To change keys, give the new one as `current` and the old one as `previous` to all who
    /// read, then to all who sign; a minute later the old one can go.
    pub fn new(current: &[u8], previous: Option<&[u8]>) -> Result<Self, ShortKey> {
        let key = |secret: &[u8]| {
            let long = secret.len() >= Self::MIN_BYTES;
            let key = Hmac::<Sha256>::new_from_slice(secret).ok();
            key.filter(|_| long).ok_or(ShortKey)
        };
        Ok(Self {
            current: key(current)?,
            previous: previous.map(key).transpose()?,
        })
    }

    /// Signs a ticket.
    pub fn sign(&self, ticket: &Ticket) -> String {
        // Nothing in a ticket fails to be JSON.
        let payload = serde_json::to_vec(ticket).unwrap_or_default();
        let mac = self
            .current
            .clone()
            .chain_update(CONTEXT)
            .chain_update(&payload);
        let mac = mac.finalize().into_bytes();
        let (payload, mac) = (URL_SAFE_NO_PAD.encode(payload), URL_SAFE_NO_PAD.encode(mac));
        format!("{payload}.{mac}")
    }

    /// Reads a ticket that is good `now`. Whether it was used before is not known here.
    pub fn read(&self, text: &str, now: OffsetDateTime) -> Result<Ticket, BadTicket> {
        let parts = text.split_once('.').filter(|_| text.len() <= MAX_BYTES);
        let (payload, mac) = parts.ok_or(BadTicket::Malformed)?;
        let decode = |part| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| BadTicket::Malformed)
        };
        let (payload, mac) = (decode(payload)?, decode(mac)?);
        let is_signed = |key: &Hmac<Sha256>| {
            let signed = key.clone().chain_update(CONTEXT).chain_update(&payload);
            signed.verify_slice(&mac).is_ok()
        };
        if !(is_signed(&self.current) || self.previous.as_ref().is_some_and(is_signed)) {
            return Err(BadTicket::Forged);
        }
        let ticket: Ticket = serde_json::from_slice(&payload).map_err(|_| BadTicket::Malformed)?;
        if now.unix_timestamp() >= ticket.expires_at {
            return Err(BadTicket::Expired);
        }
        Ok(ticket)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;
    use crate::{NdaId, PitchId};

    const NOW: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

    fn keys(current: u8, previous: Option<u8>) -> TicketKeys {
        let previous = previous.map(|byte| [byte; 32]);
        let previous = previous.as_ref().map(|key| &key[..]);
        TicketKeys::new(&[current; 32], previous).expect("long enough")
    }

    fn ticket() -> Ticket {
        Ticket {
            id: Uuid::from_u128(1),
            holder: Some(Holder {
                user: UserId(Uuid::from_u128(2)),
                role: Role::Investor,
                session: SessionId(Uuid::from_u128(3)),
            }),
            rooms: [Room::Nda(NdaId(Uuid::from_u128(4)))].into(),
            expires_at: (NOW + LIFETIME).unix_timestamp(),
        }
    }

    #[test]
    fn a_ticket_is_good_for_a_minute() {
        let keys = keys(1, None);
        let text = keys.sign(&ticket());
        assert_eq!(keys.read(&text, NOW), Ok(ticket()));
        let last = NOW + LIFETIME - Duration::SECOND;
        assert_eq!(keys.read(&text, last), Ok(ticket()));
        assert_eq!(keys.read(&text, NOW + LIFETIME), Err(BadTicket::Expired));
    }

    #[test]
    fn keys_change_without_a_gap() {
        let old = keys(1, None).sign(&ticket());
        assert_eq!(keys(2, Some(1)).read(&old, NOW), Ok(ticket()));
        assert_eq!(keys(2, None).read(&old, NOW), Err(BadTicket::Forged));
        let new = keys(2, Some(1)).sign(&ticket());
        assert_eq!(
            keys(2, None).read(&new, NOW),
            Ok(ticket()),
            "the new one signs"
        );
        assert_eq!(TicketKeys::new(&[1; 31], None).err(), Some(ShortKey));
        assert_eq!(TicketKeys::new(&[1; 32], Some(&[])).err(), Some(ShortKey));
    }

    #[test]
    fn the_largest_ticket_fits() {
        let mut ticket = ticket();
        ticket.rooms = (0..MAX_ROOMS as u128)
            .map(|n| Room::Pitch(PitchId(Uuid::from_u128(u128::MAX - n))))
            .collect();
        let keys = keys(1, None);
        let text = keys.sign(&ticket);
        assert!(text.len() <= MAX_BYTES, "{}", text.len());
        assert_eq!(keys.read(&text, NOW), Ok(ticket));
    }

    #[test]
    fn rooms_about_a_thing_are_those_that_it_names() {
        let ticket = ticket();
        let id = Uuid::from_u128(4);
        let enter = |room| ticket.may(room, RoomRight::Enter);
        assert_eq!(enter(Room::Nda(NdaId(id))), Verdict::Allowed);
        assert_eq!(enter(Room::Nda(NdaId(Uuid::from_u128(5)))), Verdict::Hidden);
        assert_eq!(enter(Room::Pitch(PitchId(id))), Verdict::Hidden);
        assert_eq!(
            enter(Room::User(UserId(Uuid::from_u128(2)))),
            Verdict::Allowed
        );
        assert_eq!(enter(Room::User(UserId(id))), Verdict::Forbidden);
        assert_eq!(enter(Room::Lists), Verdict::Allowed);
        assert_eq!(enter(Room::Ops), Verdict::Forbidden);
    }

    proptest! {
        #[test]
        fn no_changed_ticket_is_read(at in any::<prop::sample::Index>(), letter in "[A-Za-z0-9_.-]") {
            let keys = keys(1, None);
            let text = keys.sign(&ticket());
            let at = at.index(text.len());
            let mut changed = text.clone();
            changed.replace_range(at..=at, &letter);
            prop_assume!(changed != text);
            prop_assert!(keys.read(&changed, NOW).is_err(), "{}", changed);
        }

        #[test]
        fn no_text_is_a_ticket(text in ".{0,100}") {
            prop_assert!(keys(1, None).read(&text, NOW).is_err());
        }
    }
}
