//! What tests begin with.

use super::pitches::PitchRow;
use pitchey_model::{
    MediaId, Person, Pitch, PitchCard, PitchContent, PitchDetail, PitchId, PitchStatus, Profile,
    Role, UserId, Visibility,
};
use time::OffsetDateTime;

/// A pitch as lists and readers see it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPitch {
    /// The public part.
    pub detail: PitchDetail,
    /// Its score; lists never show less than that of a pitch nobody has looked at.
    pub trending_score: f64,
    /// Whether it is published; a draft otherwise.
    pub listed: bool,
}

impl From<StoredPitch> for PitchRow {
    fn from(given: StoredPitch) -> Self {
        let StoredPitch {
            detail,
            trending_score,
            listed,
        } = given;
        let card = detail.card;
        let pitch = Pitch {
            id: card.id,
            creator: card.creator,
            content: PitchContent {
                title: card.title,
                logline: card.logline,
                synopsis: detail.synopsis,
                genres: card.genres,
                format: card.format,
                stage: card.stage,
                release_year: card.release_year,
                cast: detail.cast,
                visibility: card.visibility,
                full_synopsis: String::new(),
                budget: None,
            },
            cover: card.cover,
            status: if listed {
                PitchStatus::Published
            } else {
                PitchStatus::Draft
            },
            published_at: Some(card.published_at),
            archived_at: None,
            created_at: card.published_at,
            updated_at: detail.updated_at,
            version: detail.version,
            view_count: card.view_count,
        };
        Self {
            trending_score,
            ..Self::new(pitch)
        }
    }
}

/// A listed pitch with plain values, to be changed where a test cares.
pub fn pitch(id: u128, title: &str, creator: &Profile) -> StoredPitch {
    let published_at = OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
    StoredPitch {
        detail: PitchDetail {
            card: PitchCard {
                id: PitchId(uuid::Uuid::from_u128(id)),
                title: title.to_owned(),
                logline: String::new(),
                genres: Vec::new(),
                format: pitchey_model::Format::Feature,
                stage: pitchey_model::Stage::Script,
                visibility: Visibility::Public,
                release_year: None,
                cover: None::<MediaId>,
                creator: Person {
                    id: creator.id,
                    username: creator.username.clone(),
                    display_name: creator.display_name.clone(),
                },
                published_at,
                view_count: 0,
            },
            synopsis: String::new(),
            cast: Vec::new(),
            updated_at: published_at,
            version: 1,
        },
        trending_score: 0.0,
        listed: true,
    }
}

/// A creator's profile with plain values.
///
/// # Panics
/// If `username` has not the shape of one.
pub fn creator(id: u128, username: &str) -> Profile {
    Profile {
        id: UserId(uuid::Uuid::from_u128(id)),
        username: username.parse().expect("a test gives a good name"),
        display_name: username.to_owned(),
        role: Role::Creator,
        bio: String::new(),
        company: String::new(),
        location: String::new(),
        website: None,
        avatar: None,
        pitch_count: 0,
        follower_count: 0,
        created_at: OffsetDateTime::UNIX_EPOCH + time::Duration::days(19_000),
        version: 1,
    }
}
