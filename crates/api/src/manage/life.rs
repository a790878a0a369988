//! Beginning, editing, publishing, archiving, withdrawing and deleting a pitch.

use super::FullPitchView;
use super::content::{NewPitch, PitchEdit, read_change, read_new};
use crate::body::{Fields, NoBody};
use crate::extract::{Client, Id, IdempotencyKey, IfMatch, NoQuery, Signed};
use crate::once::{created, once, respond};
use crate::problem::{
    BodyProblems, ChangeProblems, ConflictProblem, MissingProblem, Problem, ReadProblems,
    SignedProblems,
};
use crate::represent::Versioned;
use crate::site::Site;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use pitchey_model::decide::Expected;
use pitchey_model::lifecycle::PitchAction;
use pitchey_model::{Pitch, PitchId};
use pitchey_store::FullStore;
use pitchey_store::accounts::Origin;
use pitchey_store::market::StoredAnswer;

/// Begin a pitch
///
/// A draft, which its creator alone sees.
#[utoipa::path(
    post, path = "/api/pitches", tag = "creators",
    params(("Idempotency-Key" = Option<String>, Header, description = "Done once, however often it comes within 24 hours", min_length = 1, max_length = 128, pattern = "^[!#-\\[\\]-~]+$")),
    request_body = NewPitch,
    responses(
        (status = 201, description = "The draft", body = FullPitchView),
        ReadProblems, SignedProblems, BodyProblems, ConflictProblem,
    )
)]
pub(crate) async fn create<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    _: NoQuery,
    IdempotencyKey(key): IdempotencyKey,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let hash = fields.hash();
    let content = read_new(&mut fields);
    let content = fields.give(content)?;
    let done = site
        .api
        .store
        .create_pitch(
            signed.actor(),
            PitchId(site.new_id()),
            content,
            once(&site, key, "POST /api/pitches", hash, answer),
            site.now(),
        )
        .await??;
    respond(done, answer)
}

fn answer(pitch: &Pitch) -> StoredAnswer {
    let location = format!("/api/pitches/{}", pitch.id);
    created(location, pitch.version, &FullPitchView::from(pitch.clone()))
}

/// Change what a pitch says
#[utoipa::path(
    patch, path = "/api/pitches/{id}", tag = "creators",
    params(
        ("id" = PitchId, Path, description = "The pitch"),
        ("If-Match" = String, Header, description = "The `ETag` of what was read"),
    ),
    request_body = PitchEdit,
    responses(
        (status = 200, description = "The pitch as it is now", body = FullPitchView),
        ReadProblems, SignedProblems, BodyProblems, ChangeProblems, MissingProblem,
    )
)]
pub(crate) async fn edit<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    Id(id): Id<PitchId>,
    _: NoQuery,
    IfMatch(expected): IfMatch,
    mut fields: Fields,
) -> Result<Versioned, Problem> {
    let change = read_change(&mut fields);
    fields.finish()?;
    let pitch = site
        .api
        .store
        .edit_pitch(signed.actor(), id, &expected, change, site.now())
        .await??;
    Versioned::new(pitch.version, &FullPitchView::from(pitch))
}

/// Remove a pitch for good
#[utoipa::path(
    delete, path = "/api/pitches/{id}", tag = "creators",
    params(
        ("id" = PitchId, Path, description = "The pitch"),
        ("If-Match" = String, Header, description = "The `ETag` of what was read"),
    ),
    responses(
        (status = 204, description = "It is gone"),
        ReadProblems, SignedProblems, BodyProblems, ChangeProblems, MissingProblem,
    )
)]
pub(crate) async fn delete<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    Id(id): Id<PitchId>,
    _: NoQuery,
    IfMatch(expected): IfMatch,
    Client(origin): Client,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    site.api
        .store
        .delete_pitch(signed.actor(), id, &expected, &origin, site.now())
        .await??;
    Ok(StatusCode::NO_CONTENT)
}

async fn step<S: FullStore>(
    site: &Site<S>,
    signed: &Signed,
    id: PitchId,
    expected: &Expected,
    action: PitchAction,
    origin: &Origin,
) -> Result<Versioned, Problem> {
    let pitch = site
        .api
        .store
        .step_pitch(signed.actor(), id, expected, action, origin, site.now())
        .await??;
    Versioned::new(pitch.version, &FullPitchView::from(pitch))
}

macro_rules! steps {
    ($($(#[doc = $doc:literal])* $name:ident: $path:literal, $action:ident;)*) => {$(
        $(#[doc = $doc])*
        #[utoipa::path(
            post, path = $path, tag = "creators",
            params(
                ("id" = PitchId, Path, description = "The pitch"),
                ("If-Match" = String, Header, description = "The `ETag` of what was read"),
            ),
            responses(
                (status = 200, description = "The pitch as it is now", body = FullPitchView),
                ReadProblems, SignedProblems, BodyProblems, ChangeProblems, ConflictProblem, MissingProblem,
            )
        )]
        pub(crate) async fn $name<S: FullStore>(
            State(site): State<Site<S>>,
            signed: Signed,
            Id(id): Id<PitchId>,
            _: NoQuery,
            IfMatch(expected): IfMatch,
            Client(origin): Client,
            _: NoBody,
        ) -> Result<Versioned, Problem> {
            step(&site, &signed, id, &expected, PitchAction::$action, &origin).await
        }
    )*};
}

steps! {
    /// Put a pitch on the site
    ///
    /// It needs a logline and a genre. One that comes back keeps its place in the lists.
    publish: "/api/pitches/{id}/publish", Publish;
    /// Take a pitch off the site
    archive: "/api/pitches/{id}/archive", Archive;
    /// Make a pitch a draft again
    withdraw: "/api/pitches/{id}/withdraw", Withdraw;
}
