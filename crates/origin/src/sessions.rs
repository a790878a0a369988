//! Sessions as the cache keeps them.

use bytes::Bytes;
use pitchey_cache::{Loaded, Value, Vintage};
use pitchey_model::event::Tag;
use pitchey_model::{Actor, Role, SessionId, UserId, Username};
use pitchey_store::accounts::Session;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

/// The session of a token, or that it has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CachedSession(Option<Record>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    user: Uuid,
    username: Username,
    display_name: String,
    role: Role,
    session: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    last_seen_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    idle_expires_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

impl CachedSession {
    /// What was loaded, under the tags that its end and changes of its account raise.
    pub(crate) fn loaded(session: Option<Session>) -> Loaded<Self> {
        let tags = session.as_ref().map(|session| {
            let actor = &session.actor;
            [Tag::session(actor.session), Tag::user(actor.id)]
        });
        let tags = tags.iter().flatten().map(|tag| tag.as_str().into());
        Loaded {
            absent: session.is_none(),
            tags: tags.collect(),
            vintage: Vintage::Present,
            value: Self(session.map(|session| Record {
                user: session.actor.id.0,
                username: session.actor.username,
                display_name: session.actor.display_name,
                role: session.actor.role,
                session: session.actor.session.0,
                last_seen_at: session.last_seen_at,
                idle_expires_at: session.idle_expires_at,
                expires_at: session.expires_at,
            })),
        }
    }

    /// The session, unless its time is over by now.
    pub(crate) fn live(&self, now: OffsetDateTime) -> Option<Session> {
        let record = self.0.clone()?;
        let live = now < record.idle_expires_at && now < record.expires_at;
        live.then_some(Session {
            actor: Actor {
                id: UserId(record.user),
                username: record.username,
                display_name: record.display_name,
                role: record.role,
                session: SessionId(record.session),
            },
            last_seen_at: record.last_seen_at,
            idle_expires_at: record.idle_expires_at,
            expires_at: record.expires_at,
        })
    }
}

impl Value for CachedSession {
    const SCHEMA: u16 = 1;

    fn encode(&self, bytes: &mut Vec<u8>) {
        // Writing into memory does not fail, and nothing in it cannot be written.
        let _ = serde_json::to_writer(bytes, self);
    }

    fn decode(bytes: Bytes) -> Option<Self> {
        serde_json::from_slice(&bytes).ok()
    }

    fn weight(&self) -> usize {
        let record = |record: &Record| record.display_name.len() + record.username.as_str().len();
        size_of::<Self>() + self.0.as_ref().map_or(0, record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn session() -> Session {
        Session {
            actor: Actor {
                id: UserId(Uuid::from_u128(1)),
                username: "ann".parse().expect("a username"),
                display_name: "Ann \"A\"".to_owned(),
                role: Role::Creator,
                session: SessionId(Uuid::from_u128(2)),
            },
            last_seen_at: datetime!(2026-01-01 12:00:00.000001 UTC),
            idle_expires_at: datetime!(2026-01-02 12:00 UTC),
            expires_at: datetime!(2026-01-03 12:00 UTC),
        }
    }

    #[test]
    fn a_session_comes_back_from_its_bytes_and_ends_at_its_time() {
        let loaded = CachedSession::loaded(Some(session()));
        assert_eq!(loaded.tags.len(), 2);
        let mut bytes = Vec::new();
        loaded.value.encode(&mut bytes);
        let decoded = CachedSession::decode(bytes.into()).expect("what was encoded");
        let before = datetime!(2026-01-02 11:59 UTC);
        assert_eq!(decoded.live(before), Some(session()));
        assert_eq!(decoded.live(datetime!(2026-01-02 12:00 UTC)), None);
        assert_eq!(CachedSession::decode(Bytes::from_static(b"{")), None);
    }

    #[test]
    fn a_token_without_a_session_is_remembered_as_such() {
        let loaded = CachedSession::loaded(None);
        assert!(loaded.absent && loaded.tags.is_empty());
        assert_eq!(loaded.value.live(datetime!(2026-01-01 12:00 UTC)), None);
    }
}
