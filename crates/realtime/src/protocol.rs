//! What clients say, version 1: text frames of JSON, read strictly.
//!
//! A frame that is no JSON object ends the connection; one that is, and is wrong, is answered with an
//! [`ErrorCode`]. Nothing is guessed: unknown, repeated and missing fields are errors of their own.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::log::Position;

/// The subprotocol that client and server agree on when they connect.
pub const SUBPROTOCOL: &str = "pitchey.v1";

/// The longest frame that is read, in bytes.
pub const MAX_FRAME: usize = 64 * 1024;

/// The longest name of a room, in bytes.
pub const MAX_ROOM: usize = 64;

/// The longest text that stands for an epoch, in bytes.
pub const MAX_EPOCH: usize = 64;

/// The largest number that JavaScript holds exactly: the limit of ids and offsets.
pub const MAX_NUMBER: u64 = (1 << 53) - 1;

/// The name of a room: `lists`, `pitch:0191…`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RoomName(Arc<str>);

impl RoomName {
    /// The name, if it is one: lower-case letters, then perhaps a colon and lower-case letters, digits
    /// and hyphens.
    pub fn new(text: &str) -> Option<Self> {
        let (kind, id) = match text.split_once(':') {
            Some((kind, id)) => (kind, Some(id)),
            None => (text, None),
        };
        let fits = |text: &str, digits: bool| {
            let plain =
                |b: u8| b.is_ascii_lowercase() || (digits && (b.is_ascii_digit() || b == b'-'));
            !text.is_empty() && text.bytes().all(plain)
        };
        let named = fits(kind, false) && id.is_none_or(|id| fits(id, true));
        (text.len() <= MAX_ROOM && named).then(|| Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RoomName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).ok_or_else(|| D::Error::custom("is no name of a room"))
    }
}

/// What is wrong with a frame, or why nothing came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// There is no such `op`.
    UnknownOp,
    /// The `op` has no such field.
    UnknownField,
    /// A field is there twice.
    RepeatedField,
    /// The `op` needs a field that is not there.
    MissingField,
    /// A field is of another type, or beyond its limits.
    WrongType,
    /// There cannot be a room of that name.
    BadRoom,
    /// One may not do this in this room.
    Forbidden,
    /// The connection has entered the room before.
    AlreadySubscribed,
    /// The connection is not in the room.
    NotSubscribed,
    /// The connection is in as many rooms as it may be.
    TooManyRooms,
    /// What is to be published is too large.
    TooLarge,
    /// Too many frames in too short a time; this one was not looked at.
    RateLimited,
    /// It cannot be done just now; the same may work in a second.
    Unavailable,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 13] = [
        Self::UnknownOp,
        Self::UnknownField,
        Self::RepeatedField,
        Self::MissingField,
        Self::WrongType,
        Self::BadRoom,
        Self::Forbidden,
        Self::AlreadySubscribed,
        Self::NotSubscribed,
        Self::TooManyRooms,
        Self::TooLarge,
        Self::RateLimited,
        Self::Unavailable,
    ];
}

/// An error that is answered, and to which frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The `id` of the frame, where it could be read.
    pub id: Option<u64>,
    /// What is wrong.
    pub code: ErrorCode,
    /// The same for a person.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(id: Option<u64>, code: ErrorCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { id, code, message }
    }
}

/// Why a frame cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is no JSON object: the connection ends.
    NotProtocol,
    /// It is answered with an error.
    Refused(Refusal),
}

/// A frame of a client.
#[derive(Clone, Debug)]
pub enum ClientFrame<'a> {
    /// Enters a room, to be told its updates; with what it missed since a position.
    Subscribe {
        /// Names the answer.
        id: u64,
        /// The room.
        room: RoomName,
        /// The newest update that the client has seen.
        since: Option<Position>,
    },
    /// Leaves a room.
    Unsubscribe {
        /// Names the answer.
        id: u64,
        /// The room.
        room: RoomName,
    },
    /// Tells everyone in a room.
    Publish {
        /// Names the answer.
        id: u64,
        /// The room.
        room: RoomName,
        /// Any JSON.
        data: &'a RawValue,
    },
    /// Asks who is in a room, and to be told from then on.
    Presence {
        /// Names the answer.
        id: u64,
        /// The room.
        room: RoomName,
    },
    /// Shows that the client lives.
    Ping,
}

impl<'a> ClientFrame<'a> {
    /// Reads a frame.
    pub fn parse(text: &'a str) -> Result<Self, Unusable> {
        let fields: Fields<'a> = serde_json::from_str(text).map_err(|_| Unusable::NotProtocol)?;
        fields.read().map_err(Unusable::Refused)
    }
}

/// The fields of an object in their order, repeated ones included, their values not looked into.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A key borrows from the frame unless it has escapes in it.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Vec::new();
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    fields.push((key, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    epoch: String,
    offset: u64,
}

impl<'a> Fields<'a> {
    fn read(self) -> Result<ClientFrame<'a>, Refusal> {
        // An id that cannot be read names no answer.
        let id = self.get("id").and_then(number);
        let refuse = |code, message: String| Refusal::new(id, code, message);
        for (at, (key, _)) in self.0.iter().enumerate() {
            if self.0[..at].iter().any(|(before, _)| before == key) {
                return Err(refuse(
                    ErrorCode::RepeatedField,
                    format!("{key:?} is there twice"),
                ));
            }
        }
        let missing = |name: &str| refuse(ErrorCode::MissingField, format!("{name:?} is missing"));
        let wrong = |name: &str, wanted: &str| {
            refuse(ErrorCode::WrongType, format!("{name:?} must be {wanted}"))
        };
        let op = self.get("op").ok_or_else(|| missing("op"))?;
        let op: Cow<'_, str> = string(op).ok_or_else(|| wrong("op", "a string"))?;
        let known: &[&str] = match &*op {
            "subscribe" => &["id", "op", "room", "since"],
            "unsubscribe" | "presence" => &["id", "op", "room"],
            "publish" => &["id", "op", "room", "data"],
            "ping" => &["op"],
            _ => {
                return Err(refuse(
                    ErrorCode::UnknownOp,
                    "there is no such op".to_owned(),
                ));
            }
        };
        if let Some((key, _)) = self.0.iter().find(|(key, _)| !known.contains(&&**key)) {
            return Err(refuse(
                ErrorCode::UnknownField,
                format!("{op} has no field {key:?}"),
            ));
        }
        if op == "ping" {
            return Ok(ClientFrame::Ping);
        }
        self.get("id").ok_or_else(|| missing("id"))?;
        let id = id.ok_or_else(|| wrong("id", "a whole number from 0 to 2^53 - 1"))?;
        let room = self.get("room").ok_or_else(|| missing("room"))?;
        let room: Cow<'_, str> = string(room).ok_or_else(|| wrong("room", "a string"))?;
        let room = RoomName::new(&room)
            .ok_or_else(|| refuse(ErrorCode::BadRoom, "no room has such a name".to_owned()))?;
        Ok(match &*op {
            "subscribe" => ClientFrame::Subscribe {
                id,
                room,
                since: match self.get("since") {
                    None => None,
                    Some(raw) => {
                        let since = serde_json::from_str::<Since>(raw.get()).ok();
                        let since = since.filter(|since| {
                            since.offset <= MAX_NUMBER && since.epoch.len() <= MAX_EPOCH
                        });
                        let since =
                            since.ok_or_else(|| wrong("since", "{\"epoch\":…,\"offset\":…}"))?;
                        Some(Position {
                            epoch: since.epoch.into(),
                            offset: since.offset,
                        })
                    }
                },
            },
            "unsubscribe" => ClientFrame::Unsubscribe { id, room },
            "presence" => ClientFrame::Presence { id, room },
            _ => ClientFrame::Publish {
                id,
                room,
                data: self.get("data").ok_or_else(|| missing("data"))?,
            },
        })
    }

    fn get(&self, name: &str) -> Option<&'a RawValue> {
        let field = self.0.iter().find(|(key, _)| key == name);
        field.map(|(_, value)| *value)
    }
}

fn number(raw: &RawValue) -> Option<u64> {
    let number = serde_json::from_str(raw.get()).ok();
    number.filter(|number| *number <= MAX_NUMBER)
}

fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Key<'_>>(raw.get())
        .ok()
        .map(|Key(text)| text)
}

/// JSON in one line. It has line breaks between its parts only, where a space says the same; server-sent events take
/// them for their own.
pub fn one_line(json: &str) -> Bytes {
    let space = |byte| match byte {
        b'\n' | b'\r' => b' ',
        byte => byte,
    };
    json.bytes().map(space).collect::<Vec<u8>>().into()
}

#[cfg(test)]
mod tests;
