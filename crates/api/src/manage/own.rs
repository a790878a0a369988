//! All of a pitch, and a creator's own pitches.

use super::FullPitchView;
use crate::extract::{Id, MaybeSigned, NoQuery, Signed};
use crate::listing::{List, Listing};
use crate::problem::{MissingProblem, Problem, ReadProblems, SignedProblems};
use crate::represent::Versioned;
use crate::site::Site;
use axum::Json;
use axum::extract::{RawQuery, State};
use pitchey_model::{PitchId, decide};
use pitchey_store::FullStore;

/// Read all of a pitch
///
/// The protected part is for its creator, an admin, and the holder of an approved NDA; of a public pitch
/// anyone reads all.
#[utoipa::path(
    get, path = "/api/pitches/{id}/full", tag = "pitches",
    params(("id" = PitchId, Path, description = "The pitch")),
    responses(
        (status = 200, description = "The pitch", body = FullPitchView),
        (status = 304, description = "Still the one that If-None-Match names"),
        ReadProblems, SignedProblems, MissingProblem,
    )
)]
pub(crate) async fn full<S: FullStore>(
    State(site): State<Site<S>>,
    MaybeSigned(session): MaybeSigned,
    Id(id): Id<PitchId>,
    _: NoQuery,
) -> Result<Versioned, Problem> {
    let actor = session.as_ref().map(|session| &session.actor);
    let found = site
        .api
        .store
        .full_pitch(id, actor.map(|actor| actor.id))
        .await?
        .ok_or_else(Problem::not_found)?;
    decide::read_full(actor, &found.pitch, found.nda.as_ref(), site.now())?;
    Versioned::new(found.pitch.version, &FullPitchView::from(found.pitch))
}

/// One's own pitches
///
/// In every state, last changed first.
#[utoipa::path(
    get, path = "/api/me/pitches", tag = "creators",
    params(crate::listing::PageParams),
    responses(
        (status = 200, description = "A page", body = List<FullPitchView>),
        ReadProblems, SignedProblems,
    )
)]
pub(crate) async fn own<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    RawQuery(query): RawQuery,
) -> Result<Json<List<FullPitchView>>, Problem> {
    let user = signed.actor().id;
    let listing = Listing::read(&site, query.as_deref(), &format!("own|{user}"))?;
    let store = &site.api.store;
    let page = store
        .own_pitches(user, listing.after, listing.limit)
        .await?;
    Ok(listing.page(&site, page))
}
