//! From rows to what they mean.

use crate::error::corrupt;
use pitchey_model::{Person, PitchCard};
use pitchey_store::StoreError;
use std::str::FromStr;
use time::OffsetDateTime;
use uuid::Uuid;

/// The columns of a pitch that every list selects.
pub(crate) struct CardColumns {
    pub(crate) id: Uuid,
    pub(crate) title: String,
    pub(crate) logline: String,
    pub(crate) genres: Vec<String>,
    pub(crate) format: String,
    pub(crate) stage: String,
    pub(crate) visibility: String,
    pub(crate) release_year: Option<i16>,
    pub(crate) cover_media_id: Option<Uuid>,
    pub(crate) published_at: OffsetDateTime,
    pub(crate) view_count: i64,
    pub(crate) creator_id: Uuid,
    pub(crate) creator_username: String,
    pub(crate) creator_display_name: String,
}

/// Takes the columns of a list out of a row of any statement that selects them.
macro_rules! card_columns {
    ($row:ident) => {
        $crate::rows::CardColumns {
            id: $row.id,
            title: $row.title,
            logline: $row.logline,
            genres: $row.genres,
            format: $row.format,
            stage: $row.stage,
            visibility: $row.visibility,
            release_year: $row.release_year,
            cover_media_id: $row.cover_media_id,
            published_at: $row.published_at,
            view_count: $row.view_count,
            creator_id: $row.creator_id,
            creator_username: $row.creator_username,
            creator_display_name: $row.creator_display_name,
        }
    };
}
pub(crate) use card_columns;

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
pub(crate) fn word<T: FromStr>(column: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| corrupt(column, text))
}

/// A time as the database keeps it: what is answered is what will be read.
pub(crate) fn micros(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(at.nanosecond() / 1000 * 1000)
        .unwrap_or(at)
}
