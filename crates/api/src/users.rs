//! Profiles: `GET /api/users/{username}`.

use crate::params::{Params, bad_path};
use crate::position::Reading;
use crate::problem::{MissingProblem, Problem, ReadProblems};
use crate::represent::{PROFILE_FIELDS, ProfileView, Versioned};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery};
use pitchey_model::Username;
use pitchey_store::Store;

/// Read a profile
#[utoipa::path(
    get, path = "/api/users/{username}", tag = "users",
    params(
        ("username" = Username, Path, description = "The account's name"),
        ("fields" = Option<String>, Query, description = "Which fields, separated by commas"),
    ),
    responses(
        (status = 200, description = "The profile", body = ProfileView),
        (status = 304, description = "Still the one that If-None-Match names"),
        ReadProblems,
        MissingProblem,
    )
)]
pub(crate) async fn profile<S: Store>(
    Reading(state): Reading<S>,
    username: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Versioned, Problem> {
    let username = username_in(username)?;
    let mut params = Params::parse(query.as_deref())?;
    let fields = params.fields(PROFILE_FIELDS);
    params.finish()?;
    let profile = state
        .store
        .profile(&username)
        .await?
        .ok_or_else(Problem::not_found)?;
    let version = profile.version;
    Versioned::select(version, &ProfileView::from(profile), &fields)
}

/// The `{username}` in the path.
pub(crate) fn username_in(raw: Result<Path<String>, PathRejection>) -> Result<Username, Problem> {
    let Path(raw) = raw.map_err(|_| bad_path("username", "must be percent-encoded UTF-8"))?;
    raw.parse().map_err(|error| bad_path("username", error))
}
