//! Representations: what the JSON looks like.

use crate::fields::FieldSet;
use crate::page::Version;
use crate::problem::Problem;
use axum::Json;
use axum::response::{IntoResponse, Response};
use pitchey_model::{
    Format, Genre, MediaId, Person, PitchCard, PitchDetail, PitchId, Profile, Role, SearchHit,
    Stage, UserId, Username, Visibility,
};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use time::OffsetDateTime;
use utoipa::ToSchema;

/// A person as pages name them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PersonView {
    id: UserId,
    username: Username,
    display_name: String,
}

impl From<Person> for PersonView {
    fn from(person: Person) -> Self {
        Self {
            id: person.id,
            username: person.username,
            display_name: person.display_name,
        }
    }
}

/// A pitch in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PitchView {
    id: PitchId,
    title: String,
    logline: String,
    genres: Vec<Genre>,
    format: Format,
    stage: Stage,
    visibility: Visibility,
    release_year: Option<i16>,
    cover_media_id: Option<MediaId>,
    creator: PersonView,
    #[serde(with = "time::serde::rfc3339")]
    published_at: OffsetDateTime,
    view_count: i64,
}

/// The fields of [`PitchView`].
pub(crate) const PITCH_FIELDS: &[&str] = &[
    "id",
    "title",
    "logline",
    "genres",
    "format",
    "stage",
    "visibility",
    "release_year",
    "cover_media_id",
    "creator",
    "creator.id",
    "creator.username",
    "creator.display_name",
    "published_at",
    "view_count",
];

impl From<PitchCard> for PitchView {
    fn from(card: PitchCard) -> Self {
        Self {
            id: card.id,
            title: card.title,
            logline: card.logline,
            genres: card.genres,
            format: card.format,
            stage: card.stage,
            visibility: card.visibility,
            release_year: card.release_year,
            cover_media_id: card.cover,
            creator: card.creator.into(),
            published_at: card.published_at,
            view_count: card.view_count,
        }
    }
}

/// The public part of a pitch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PitchDetailView {
    #[serde(flatten)]
    card: PitchView,
    synopsis: String,
    cast: Vec<String>,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    version: i64,
}

/// The fields of [`PitchDetailView`].
pub(crate) const PITCH_DETAIL_FIELDS: &[&str] = &[
    "id",
    "title",
    "logline",
    "genres",
    "format",
    "stage",
    "visibility",
    "release_year",
    "cover_media_id",
    "creator",
    "creator.id",
    "creator.username",
    "creator.display_name",
    "published_at",
    "view_count",
    "synopsis",
    "cast",
    "updated_at",
    "version",
];

impl From<PitchDetail> for PitchDetailView {
    fn from(detail: PitchDetail) -> Self {
        Self {
            card: detail.card.into(),
            synopsis: detail.synopsis,
            cast: detail.cast,
            updated_at: detail.updated_at,
            version: detail.version,
        }
    }
}

/// Where the words of a search stand: text escaped for HTML, the words in `<mark>`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HighlightsView {
    title: String,
    logline: String,
    synopsis: String,
}

/// A pitch that was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SearchHitView {
    #[serde(flatten)]
    card: PitchView,
    /// Comparable within one search only.
    rank: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    highlights: Option<HighlightsView>,
}

/// The fields of [`SearchHitView`].
pub(crate) const SEARCH_FIELDS: &[&str] = &[
    "id",
    "title",
    "logline",
    "genres",
    "format",
    "stage",
    "visibility",
    "release_year",
    "cover_media_id",
    "creator",
    "creator.id",
    "creator.username",
    "creator.display_name",
    "published_at",
    "view_count",
    "rank",
    "highlights",
    "highlights.title",
    "highlights.logline",
    "highlights.synopsis",
];

impl From<SearchHit> for SearchHitView {
    fn from(hit: SearchHit) -> Self {
        let highlights = hit.highlights.map(|h| HighlightsView {
            title: h.title,
            logline: h.logline,
            synopsis: h.synopsis,
        });
        Self {
            card: hit.card.into(),
            rank: hit.rank,
            highlights,
        }
    }
}

/// How the finds divide; counted up to 700.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FacetsView {
    pub(crate) total: i64,
    #[schema(value_type = BTreeMap<String, i64>)]
    pub(crate) genres: BTreeMap<Genre, i64>,
    #[schema(value_type = BTreeMap<String, i64>)]
    pub(crate) formats: BTreeMap<Format, i64>,
}

/// A public profile.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProfileView {
    id: UserId,
    username: Username,
    display_name: String,
    role: Role,
    bio: String,
    company: String,
    location: String,
    website: Option<String>,
    avatar_media_id: Option<MediaId>,
    /// Counted up to 10,000.
    pitch_count: i64,
    /// Counted up to 10,000.
    follower_count: i64,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    version: i64,
}

/// The fields of [`ProfileView`].
pub(crate) const PROFILE_FIELDS: &[&str] = &[
    "id",
    "username",
    "display_name",
    "role",
    "bio",
    "company",
    "location",
    "website",
    "avatar_media_id",
    "pitch_count",
    "follower_count",
    "created_at",
    "version",
];

impl From<Profile> for ProfileView {
    fn from(profile: Profile) -> Self {
        Self {
            id: profile.id,
            username: profile.username,
            display_name: profile.display_name,
            role: profile.role,
            bio: profile.bio,
            company: profile.company,
            location: profile.location,
            website: profile.website,
            avatar_media_id: profile.avatar,
            pitch_count: profile.pitch_count,
            follower_count: profile.follower_count,
            created_at: profile.created_at,
            version: profile.version,
        }
    }
}

/// A representation of a version of something.
#[derive(Debug)]
pub(crate) struct Versioned {
    version: i64,
    json: Value,
}

impl Versioned {
    pub(crate) fn new(version: i64, view: &impl Serialize) -> Result<Self, Problem> {
        Self::select(version, view, &FieldSet::all())
    }

    /// With the fields that are asked for.
    pub(crate) fn select(
        version: i64,
        view: &impl Serialize,
        fields: &FieldSet,
    ) -> Result<Self, Problem> {
        let json = select(view, fields)?;
        Ok(Self { version, json })
    }
}

impl IntoResponse for Versioned {
    fn into_response(self) -> Response {
        let mut response = Json(self.json).into_response();
        response.extensions_mut().insert(Version(self.version));
        response
    }
}

/// The JSON of a representation, with the fields that are asked for.
pub(crate) fn select(view: &impl Serialize, fields: &FieldSet) -> Result<Value, Problem> {
    match serde_json::to_value(view) {
        Ok(value) => Ok(fields.select(value)),
        Err(error) => {
            tracing::error!(%error, "a representation could not be written");
            Err(Problem::internal())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pitchey_store::mem;

    /// All paths of an object, parents before their children.
    fn paths(value: &Value) -> Vec<String> {
        let mut paths = Vec::new();
        for (name, inner) in value.as_object().expect("a representation is an object") {
            paths.push(name.clone());
            if let Some(children) = inner.as_object() {
                paths.extend(children.keys().map(|child| format!("{name}.{child}")));
            }
        }
        paths.sort();
        paths
    }

    fn assert_fields(view: &impl Serialize, known: &[&str]) {
        let mut known: Vec<String> = known.iter().map(ToString::to_string).collect();
        known.sort();
        assert_eq!(
            paths(&serde_json::to_value(view).expect("it can be written")),
            known
        );
    }

    #[test]
    fn the_lists_of_fields_are_those_of_the_representations() {
        let ann = mem::creator(1, "ann");
        let pitch = mem::pitch(2, "Film", &ann).detail;
        assert_fields(&PitchView::from(pitch.card.clone()), PITCH_FIELDS);
        assert_fields(&PitchDetailView::from(pitch.clone()), PITCH_DETAIL_FIELDS);
        assert_fields(&ProfileView::from(ann), PROFILE_FIELDS);
        let text = String::new;
        let highlights = pitchey_model::Highlights {
            title: text(),
            logline: text(),
            synopsis: text(),
        };
        let hit = SearchHit {
            card: pitch.card,
            rank: 1.0,
            highlights: Some(highlights),
        };
        assert_fields(&SearchHitView::from(hit), SEARCH_FIELDS);
    }
}
