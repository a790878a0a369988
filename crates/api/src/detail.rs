//! A pitch: `GET /api/pitches/{id}`, the public part.

use crate::ApiState;
use crate::params::{Params, bad_path};
use crate::problem::{MissingProblem, Problem, ReadProblems};
use crate::represent::{PITCH_DETAIL_FIELDS, PitchDetailView, select};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use pitchey_model::PitchId;
use pitchey_store::Store;
use serde_json::Value;
use uuid::Uuid;

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
    State(state): State<ApiState<S>>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let id = pitch_id(id)?;
    let mut params = Params::parse(query.as_deref())?;
    let fields = params.fields(PITCH_DETAIL_FIELDS);
    params.finish()?;
    let detail = state
        .store
        .detail(id)
        .await?
        .ok_or_else(Problem::not_found)?;
    Ok(Json(select(&PitchDetailView::from(detail), &fields)?))
}

/// An id has one spelling, lower case with hyphens: one pitch, one address, one key in the caches.
fn pitch_id(raw: Result<Path<String>, PathRejection>) -> Result<PitchId, Problem> {
    let Path(raw) = raw.map_err(|_| bad_path("id", "must be percent-encoded UTF-8"))?;
    let id = Uuid::parse_str(&raw)
        .ok()
        .filter(|id| id.to_string() == raw);
    id.map(PitchId)
        .ok_or_else(|| bad_path("id", "must be a UUID in lower case with hyphens"))
}
