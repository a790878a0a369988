//! What a change brings about beside itself: cache tags, events, notifications and an audit entry, all
//! written in the transaction of the change.

use crate::room::{Room, SESSIONS};
use crate::{
    Genre, InterestId, InterestStatus, NdaId, NdaStatus, NoticeKind, NotificationId, PitchId,
    PitchStatus, SessionId, UserId, Username,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use time::OffsetDateTime;
use uuid::Uuid;

/// What cached answers are marked with, so that a change finds them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// A pitch, in every representation.
    pub fn pitch(id: PitchId) -> Self {
        Self(format!("pitch:{id}"))
    }

    /// A profile.
    pub fn user(id: UserId) -> Self {
        Self(format!("user:{id}"))
    }

    /// The name of an account, whether anyone has it included.
    pub fn username(username: &Username) -> Self {
        Self(format!("username:{}", username.as_str()))
    }

    /// The lists of one creator.
    pub fn creator(id: UserId) -> Self {
        Self(format!("creator:{id}"))
    }

    /// The lists of one genre.
    pub fn genre(genre: Genre) -> Self {
        Self(format!("genre:{genre}"))
    }

    /// The lists that show every genre.
    pub fn lists() -> Self {
        Self("lists".to_owned())
    }

    /// Every search.
    pub fn search() -> Self {
        Self("search".to_owned())
    }

    /// A session.
    pub fn session(id: SessionId) -> Self {
        Self(format!("session:{id}"))
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What has happened, for those who listen. Delivered at least once, in order for each aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// A pitch was created, edited, published, archived or deleted.
    PitchChanged {
        /// The pitch.
        pitch_id: PitchId,
        /// Its creator.
        creator_id: UserId,
        /// What it is now.
        status: PitchStatus,
        /// Whether it was deleted.
        deleted: bool,
        /// Its version now.
        version: i64,
    },
    /// An NDA was asked for or decided on.
    NdaChanged {
        /// The agreement.
        nda_id: NdaId,
        /// What it is about.
        pitch_id: PitchId,
        /// Who asked.
        requester_id: UserId,
        /// Who decides.
        creator_id: UserId,
        /// What it is now.
        status: NdaStatus,
        /// Its version now.
        version: i64,
    },
    /// An interest was expressed or decided on.
    InterestChanged {
        /// The interest.
        interest_id: InterestId,
        /// What it is about.
        pitch_id: PitchId,
        /// Who is interested.
        investor_id: UserId,
        /// Who decides.
        creator_id: UserId,
        /// What it is now.
        status: InterestStatus,
        /// Its version now.
        version: i64,
    },
    /// Somebody has a new notification.
    Notified {
        /// Who.
        user_id: UserId,
        /// Which.
        notification_id: NotificationId,
        /// What it is about.
        notice: NoticeKind,
    },
    /// A session ended before its time.
    SessionEnded {
        /// Whose.
        user_id: UserId,
        /// Which; `None` for all of them.
        session_id: Option<SessionId>,
    },
}

impl Event {
    /// Every kind, as [`kind`](Self::kind) gives them.
    pub const KINDS: [&'static str; 5] = [
        "pitch_changed",
        "nda_changed",
        "interest_changed",
        "notified",
        "session_ended",
    ];

    /// What kind of thing its order is kept for.
    pub const fn aggregate_kind(&self) -> &'static str {
        match self {
            Self::PitchChanged { .. } => "pitch",
            Self::NdaChanged { .. } => "nda",
            Self::InterestChanged { .. } => "interest",
            Self::Notified { .. } | Self::SessionEnded { .. } => "user",
        }
    }

    /// The thing its order is kept for.
    pub const fn aggregate_id(&self) -> Uuid {
        match self {
            Self::PitchChanged { pitch_id, .. } => pitch_id.0,
            Self::NdaChanged { nda_id, .. } => nda_id.0,
            Self::InterestChanged { interest_id, .. } => interest_id.0,
            Self::Notified { user_id, .. } | Self::SessionEnded { user_id, .. } => user_id.0,
        }
    }

    /// Where it is told as it happens, and as what: all of it to those whom it is about. The lists are told
    /// only that they may have changed, for not everyone may know of every pitch.
    pub fn told_in(&self) -> Vec<(String, String)> {
        // No event fails to be JSON.
        let whole = serde_json::to_string(self).unwrap_or_default();
        let rooms = match *self {
            Self::PitchChanged {
                pitch_id, status, ..
            } => {
                let mut told = vec![(Room::Pitch(pitch_id).to_string(), whole)];
                if status != PitchStatus::Draft {
                    let changed = r#"{"kind":"lists_changed"}"#.to_owned();
                    told.push((Room::Lists.to_string(), changed));
                }
                return told;
            }
            Self::NdaChanged {
                nda_id,
                requester_id,
                creator_id,
                ..
            } => vec![
                Room::Nda(nda_id),
                Room::User(requester_id),
                Room::User(creator_id),
            ],
            Self::InterestChanged {
                investor_id,
                creator_id,
                ..
            } => vec![Room::User(investor_id), Room::User(creator_id)],
            Self::Notified { user_id, .. } => vec![Room::User(user_id)],
            Self::SessionEnded { .. } => return vec![(SESSIONS.to_owned(), whole)],
        };
        let rooms = rooms.into_iter();
        rooms
            .map(|room| (room.to_string(), whole.clone()))
            .collect()
    }

    /// Its kind, as in its JSON.
    pub const fn kind(&self) -> &'static str {
        let [pitch, nda, interest, notified, session] = Self::KINDS;
        match self {
            Self::PitchChanged { .. } => pitch,
            Self::NdaChanged { .. } => nda,
            Self::InterestChanged { .. } => interest,
            Self::Notified { .. } => notified,
            Self::SessionEnded { .. } => session,
        }
    }
}

/// Who did what a notification tells of, and to what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Who did it.
    pub username: Username,
    /// Their name on pages.
    pub display_name: String,
    /// To which pitch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pitch_id: Option<PitchId>,
    /// Its title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pitch_title: Option<String>,
    /// To which NDA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nda_id: Option<NdaId>,
    /// To which interest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interest_id: Option<InterestId>,
}

/// Something an account is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The notification.
    pub id: NotificationId,
    /// What happened.
    pub kind: NoticeKind,
    /// Who did it, and to what.
    pub notice: Notice,
    /// When.
    pub created_at: OffsetDateTime,
    /// When it was read.
    pub read_at: Option<OffsetDateTime>,
}

/// Who is to be told something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// One account.
    User(UserId),
    /// Those who follow an account, the newest 5,000 of them.
    FollowersOf(UserId),
}

impl Audience {
    /// The most followers who are told of one publication.
    pub const MAX_FOLLOWERS: i64 = 5000;
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// What was done, as `<subject>.<verb>`.
    pub action: &'static str,
    /// The kind of thing it was done to.
    pub subject_kind: &'static str,
    /// The thing it was done to.
    pub subject_id: Uuid,
    /// From what to what, in words that are no secret.
    pub detail: Vec<(&'static str, String)>,
}

/// All that a change brings about beside itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// Cached answers that are no longer true.
    pub tags: BTreeSet<Tag>,
    /// What those who listen are told.
    pub events: Vec<Event>,
    /// What accounts are told.
    pub notices: Vec<(Audience, NoticeKind, Notice)>,
    /// What the audit log keeps.
    pub audit: Vec<Audit>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_are_told_to_nobody_but_those_who_may_see_them() {
        let event = |status| Event::PitchChanged {
            pitch_id: PitchId(Uuid::nil()),
            creator_id: UserId(Uuid::nil()),
            status,
            deleted: false,
            version: 1,
        };
        let rooms = |status| {
            let told = event(status).told_in();
            told.into_iter().map(|(room, _)| room).collect::<Vec<_>>()
        };
        let pitch = "pitch:00000000-0000-0000-0000-000000000000";
        assert_eq!(rooms(PitchStatus::Draft), [pitch]);
        assert_eq!(rooms(PitchStatus::Published), [pitch, "lists"]);
        for (room, data) in event(PitchStatus::Published).told_in() {
            assert_eq!(data.contains("pitch_id"), room == pitch, "{room}: {data}");
        }
    }

    #[test]
    fn the_end_of_a_session_is_told_to_the_hubs_alone() {
        let event = Event::SessionEnded {
            user_id: UserId(Uuid::nil()),
            session_id: None,
        };
        let told = event.told_in();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].0, SESSIONS);
        assert!(told[0].0.parse::<Room>().is_err(), "nobody enters it");
    }
}
