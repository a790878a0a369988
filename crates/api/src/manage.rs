//! The life of a pitch, in its creator's hands, and all of a pitch for those who may read it.

mod content;
mod life;
mod own;

pub(crate) use life::{
    __path_archive, __path_create, __path_delete, __path_edit, __path_publish, __path_withdraw,
    archive, create, delete, edit, publish, withdraw,
};
pub(crate) use own::{__path_full, __path_own, full, own};

use crate::money::MoneyView;
use crate::represent::PersonView;
use pitchey_model::{Format, Genre, MediaId, Pitch, PitchId, PitchStatus, Stage, Visibility};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

/// A pitch, its protected part included.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FullPitchView {
    id: PitchId,
    title: String,
    logline: String,
    synopsis: String,
    genres: Vec<Genre>,
    format: Format,
    stage: Stage,
    release_year: Option<i16>,
    cast: Vec<String>,
    cover_media_id: Option<MediaId>,
    creator: PersonView,
    /// Protected: the whole story.
    full_synopsis: String,
    /// Protected: what it costs.
    budget: Option<MoneyView>,
    status: PitchStatus,
    visibility: Visibility,
    view_count: i64,
    /// Since when it is on the site, or was last.
    #[serde(with = "time::serde::rfc3339::option")]
    published_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    archived_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    version: i64,
}

impl From<Pitch> for FullPitchView {
    fn from(pitch: Pitch) -> Self {
        let content = pitch.content;
        Self {
            id: pitch.id,
            title: content.title,
            logline: content.logline,
            synopsis: content.synopsis,
            genres: content.genres,
            format: content.format,
            stage: content.stage,
            release_year: content.release_year,
            cast: content.cast,
            cover_media_id: pitch.cover,
            creator: pitch.creator.into(),
            full_synopsis: content.full_synopsis,
            budget: content.budget.map(Into::into),
            status: pitch.status,
            visibility: content.visibility,
            view_count: pitch.view_count,
            published_at: pitch.published_at,
            archived_at: pitch.archived_at,
            created_at: pitch.created_at,
            updated_at: pitch.updated_at,
            version: pitch.version,
        }
    }
}
