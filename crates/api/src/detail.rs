//! A pitch: `GET /api/pitches/{id}`, the public part.

use crate::cached::{Tagged, Tags};
use crate::extract::Id;
use crate::params::Params;
use crate::position::Reading;
use crate::problem::{MissingProblem, Problem, ReadProblems};
use crate::represent::{PITCH_DETAIL_FIELDS, PitchDetailView, Versioned};
use axum::extract::RawQuery;
use pitchey_model::PitchId;
use pitchey_store::Store;

/// Read a pitch
///
/// The public part: what anyone may read.
#[utoipa::path(
    get, path = "/api/pitches/{id}", tag = "pitches",
    params(
        ("id" = PitchId, Path, description = "The pitch"),
        ("fields" = Option<String>, Query, description = "Which fields, separated by commas"),
    ),
    responses(
        (status = 200, description = "The pitch", body = PitchDetailView),
        (status = 304, description = "Still the one that If-None-Match names"),
        ReadProblems,
        MissingProblem,
    )
)]
pub(crate) async fn detail<S: Store>(
    Reading(state): Reading<S>,
    Id(id): Id<PitchId>,
    RawQuery(query): RawQuery,
) -> Result<Tagged<Versioned>, Problem> {
    let mut params = Params::parse(query.as_deref())?;
    let fields = params.fields(PITCH_DETAIL_FIELDS);
    params.finish()?;
    let detail = state
        .store
        .detail(id)
        .await?
        .ok_or_else(Problem::not_found)?;
    let tags = Tags::of_cards(std::iter::once(&detail.card));
    let version = detail.version;
    Versioned::select(version, &PitchDetailView::from(detail), &fields)
        .map(|answer| Tagged(tags, answer))
}
