//! The rooms in which things are told as they happen, and the tickets that let one in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::{NdaId, PitchId, UserId};

/// A room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Room {
    /// What becomes of a pitch, and how many look at it.
    Pitch(PitchId),
    /// What one account is told.
    User(UserId),
    /// What becomes of an NDA, for its two sides.
    Nda(NdaId),
    /// What the lists show.
    Lists,
    /// Live figures, for those who run the site.
    Ops,
}

/// The name of the channel on which hubs are told of sessions that have ended: no room, and nobody enters it.
pub const SESSIONS: &str = "sessions";

/// A text that names no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be lists, ops, or pitch:, user: or nda: with an id")]
pub struct UnknownRoom;

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pitch(id) => write!(f, "pitch:{id}"),
            Self::User(id) => write!(f, "user:{id}"),
            Self::Nda(id) => write!(f, "nda:{id}"),
            Self::Lists => f.write_str("lists"),
            Self::Ops => f.write_str("ops"),
        }
    }
}

impl FromStr for Room {
    type Err = UnknownRoom;

    fn from_str(text: &str) -> Result<Self, UnknownRoom> {
        let room = match text.split_once(':') {
            None if text == "lists" => Self::Lists,
            None if text == "ops" => Self::Ops,
            None => return Err(UnknownRoom),
            Some((kind, id)) => {
                let id = Uuid::parse_str(id).map_err(|_| UnknownRoom)?;
                match kind {
                    "pitch" => Self::Pitch(PitchId(id)),
                    "user" => Self::User(UserId(id)),
                    "nda" => Self::Nda(NdaId(id)),
                    _ => return Err(UnknownRoom),
                }
            }
        };
        // One thing, one name.
        if room.to_string() == text {
            Ok(room)
        } else {
            Err(UnknownRoom)
        }
    }
}

impl Serialize for Room {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Room {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_has_one_name() {
        let id = Uuid::from_u128(0xab);
        for room in [
            Room::Pitch(PitchId(id)),
            Room::User(UserId(id)),
            Room::Nda(NdaId(id)),
            Room::Lists,
            Room::Ops,
        ] {
            assert_eq!(room.to_string().parse(), Ok(room));
        }
        for text in [
            "",
            "Lists",
            "lists:",
            "pitch",
            "pitch:",
            "pitch:1",
            "room:00000000-0000-0000-0000-0000000000ab",
            "pitch:00000000-0000-0000-0000-0000000000AB",
            "pitch:000000000000000000000000000000ab",
        ] {
            assert_eq!(text.parse::<Room>(), Err(UnknownRoom), "{text}");
        }
    }
}
