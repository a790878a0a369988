//! What a creator writes, read from a body: the same for a new pitch and for a change.

use crate::body::Fields;
use crate::money::{self, MoneyView};
use pitchey_model::{Format, Genre, PitchChange, PitchContent, Stage, Visibility};
use serde::Deserialize;
use utoipa::ToSchema;

/// A pitch to begin with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what `read_new` reads")]
pub(crate) struct NewPitch {
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    format: Format,
    /// `concept` if absent.
    #[schema(nullable = false)]
    stage: Option<Stage>,
    /// Needed to publish.
    #[schema(max_length = 500, nullable = false)]
    logline: Option<String>,
    /// Public.
    #[schema(max_length = 5000, nullable = false)]
    synopsis: Option<String>,
    /// At least one is needed to publish.
    #[schema(max_items = 8, nullable = false)]
    genres: Option<Vec<Genre>>,
    #[schema(minimum = 1870, maximum = 2200)]
    release_year: Option<i16>,
    #[schema(max_items = 100, nullable = false)]
    cast: Option<Vec<String>>,
    /// `public` if absent.
    #[schema(nullable = false)]
    visibility: Option<Visibility>,
    /// Protected.
    #[schema(max_length = 50_000, nullable = false)]
    full_synopsis: Option<String>,
    /// Protected.
    budget: Option<MoneyView>,
}

/// What to change about a pitch: what is absent stays, null takes away (RFC 7396).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what `read_change` reads")]
pub(crate) struct PitchEdit {
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    title: Option<String>,
    #[schema(nullable = false)]
    format: Option<Format>,
    #[schema(nullable = false)]
    stage: Option<Stage>,
    #[schema(max_length = 500, nullable = false)]
    logline: Option<String>,
    /// Public.
    #[schema(max_length = 5000, nullable = false)]
    synopsis: Option<String>,
    #[schema(max_items = 8, nullable = false)]
    genres: Option<Vec<Genre>>,
    #[schema(minimum = 1870, maximum = 2200)]
    release_year: Option<i16>,
    #[schema(max_items = 100, nullable = false)]
    cast: Option<Vec<String>>,
    #[schema(nullable = false)]
    visibility: Option<Visibility>,
    /// Protected.
    #[schema(max_length = 50_000, nullable = false)]
    full_synopsis: Option<String>,
    /// Protected.
    budget: Option<MoneyView>,
}

/// The content of a new pitch.
pub(super) fn read_new(fields: &mut Fields) -> Option<PitchContent> {
    for name in ["title", "format"] {
        fields.require(name);
    }
    let change = read_change(fields);
    let mut content = PitchContent {
        title: String::new(),
        logline: String::new(),
        synopsis: String::new(),
        genres: Vec::new(),
        format: change.format?,
        stage: Stage::Concept,
        release_year: None,
        cast: Vec::new(),
        visibility: Visibility::Public,
        full_synopsis: String::new(),
        budget: None,
    };
    change.apply(&mut content);
    Some(content)
}

/// What is to change.
pub(super) fn read_change(fields: &mut Fields) -> PitchChange {
    let years = PitchContent::RELEASE_YEARS;
    let years = i64::from(*years.start())..=i64::from(*years.end());
    PitchChange {
        title: fields.full_line("title", PitchContent::MAX_TITLE),
        logline: fields.line("logline", PitchContent::MAX_LOGLINE),
        synopsis: fields.paragraphs("synopsis", PitchContent::MAX_SYNOPSIS),
        genres: fields
            .array("genres", PitchContent::MAX_GENRES, Fields::word)
            .map(distinct),
        format: fields.word::<Format>("format"),
        stage: fields.word::<Stage>("stage"),
        release_year: fields.nullable("release_year", |fields, name| {
            let year = fields.integer(name, years)?;
            i16::try_from(year).ok()
        }),
        cast: fields.array("cast", PitchContent::MAX_CAST, |cast, name| {
            cast.full_line(name, PitchContent::MAX_CAST_NAME)
        }),
        visibility: fields.word::<Visibility>("visibility"),
        full_synopsis: fields.paragraphs("full_synopsis", PitchContent::MAX_FULL_SYNOPSIS),
        budget: fields.nullable("budget", |fields, name| {
            fields.object(name, |budget| money::read(budget, 0))
        }),
    }
}

/// A genre that is named twice is one genre.
fn distinct(genres: Vec<Genre>) -> Vec<Genre> {
    let mut distinct = Vec::with_capacity(genres.len());
    for genre in genres {
        if !distinct.contains(&genre) {
            distinct.push(genre);
        }
    }
    distinct
}
