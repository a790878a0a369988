//! From rows to what they mean.

use crate::error::corrupt;
use pitchey_model::{Person, PitchCard};
use pitchey_store::StoreError;
use std::str::FromStr;
use time::OffsetDateTime;
use uuid::Uuid;

/// The columns of a pitch that every list selects.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "named as in the statements")]
pub struct CardColumns {
    pub id: Uuid,
    pub title: String,
    pub logline: String,
    pub genres: Vec<String>,
    pub format: String,
    pub stage: String,
    pub visibility: String,
    pub release_year: Option<i16>,
    pub cover_media_id: Option<Uuid>,
    pub published_at: OffsetDateTime,
    pub view_count: i64,
    pub creator_id: Uuid,
    pub creator_username: String,
    pub creator_display_name: String,
}

/// The columns of `pitches.detail`.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "named as in the statement")]
pub struct DetailColumns {
    pub card: CardColumns,
    pub synopsis: String,
    pub cast_members: Vec<String>,
    pub updated_at: OffsetDateTime,
    pub version: i64,
}

/// The columns of `users.profile`.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "named as in the statement")]
pub struct ProfileColumns {
    pub id: Uuid,
    pub username: String,
    pub display_name: String,
    pub role: String,
    pub bio: String,
    pub company: String,
    pub location: String,
    pub website: Option<String>,
    pub avatar_media_id: Option<Uuid>,
    pub pitch_count: i64,
    pub follower_count: i64,
    pub created_at: OffsetDateTime,
    pub version: i64,
}

impl TryFrom<CardColumns> for PitchCard {
    type Error = StoreError;

    fn try_from(row: CardColumns) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.into(),
            title: row.title,
            logline: row.logline,
            genres: row
                .genres
                .iter()
                .map(|genre| word("genres", genre))
                .collect::<Result<_, _>>()?,
            format: word("format", &row.format)?,
            stage: word("stage", &row.stage)?,
            visibility: word("visibility", &row.visibility)?,
            release_year: row.release_year,
            cover: row.cover_media_id.map(Into::into),
            creator: Person {
                id: row.creator_id.into(),
                username: word("username", &row.creator_username)?,
                display_name: row.creator_display_name,
            },
            published_at: row.published_at,
            view_count: row.view_count,
        })
    }
}

/// A word of a vocabulary, which the check constraint on the column promises.
pub fn word<T: FromStr>(column: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| corrupt(column, text))
}
