//! From rows to what they mean: what `reads` knows of them, as sqlx gives them.

pub(crate) use pitchey_reads::word;
use time::OffsetDateTime;

/// Takes the columns of a list out of a row of any statement that selects them.
macro_rules! card_columns {
    ($row:ident) => {
        pitchey_reads::CardColumns {
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

/// A time as the database keeps it: what is answered is what will be read.
pub(crate) fn micros(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(at.nanosecond() / 1000 * 1000)
        .unwrap_or(at)
}
