//! Saved pitches and followed people.

use crate::body::NoBody;
use crate::extract::{Id, NoQuery, Signed};
use crate::listing::{List, Listing, PageParams};
use crate::problem::{BodyProblems, MissingProblem, Problem, ReadProblems, SignedProblems};
use crate::represent::{PersonView, PitchView};
use crate::site::Site;
use crate::users::username_in;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use http::StatusCode;
use pitchey_model::{PitchId, UserId, Username};
use pitchey_store::FullStore;
use pitchey_store::market::{Followed, Saved};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

/// A saved pitch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SavedView {
    pitch: PitchView,
    #[serde(with = "time::serde::rfc3339")]
    saved_at: OffsetDateTime,
}

impl From<Saved> for SavedView {
    fn from(saved: Saved) -> Self {
        Self {
            pitch: saved.card.into(),
            saved_at: saved.saved_at,
        }
    }
}

/// Somebody who is followed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FollowedView {
    user: PersonView,
    #[serde(with = "time::serde::rfc3339")]
    followed_at: OffsetDateTime,
}

impl From<Followed> for FollowedView {
    fn from(followed: Followed) -> Self {
        Self {
            user: followed.person.into(),
            followed_at: followed.followed_at,
        }
    }
}

/// Save a pitch
///
/// Saving it again changes nothing.
#[utoipa::path(
    put, path = "/api/pitches/{id}/saved", tag = "readers",
    params(("id" = PitchId, Path, description = "The pitch")),
    responses(
        (status = 204, description = "It is saved"),
        ReadProblems, SignedProblems, BodyProblems, MissingProblem,
    )
)]
pub(crate) async fn save<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    Id(id): Id<PitchId>,
    _: NoQuery,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    let store = &site.api.store;
    store.save_pitch(signed.actor(), id, site.now()).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// No longer save a pitch
///
/// Whether it was saved, or is there at all, makes no difference.
#[utoipa::path(
    delete, path = "/api/pitches/{id}/saved", tag = "readers",
    params(("id" = PitchId, Path, description = "The pitch")),
    responses(
        (status = 204, description = "It is not saved"),
        ReadProblems, SignedProblems, BodyProblems,
    )
)]
pub(crate) async fn unsave<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    Id(id): Id<PitchId>,
    _: NoQuery,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    site.api.store.unsave_pitch(signed.actor().id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What one saved
///
/// What is still on the site, last saved first.
#[utoipa::path(
    get, path = "/api/me/saved", tag = "readers",
    params(PageParams),
    responses(
        (status = 200, description = "A page", body = List<SavedView>),
        ReadProblems, SignedProblems,
    )
)]
pub(crate) async fn saved<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    RawQuery(query): RawQuery,
) -> Result<Json<List<SavedView>>, Problem> {
    let user = signed.actor().id;
    let listing = Listing::read(&site, query.as_deref(), &format!("saved|{user}"))?;
    let page = site.api.store.saved(user, listing.after, listing.limit);
    Ok(listing.page(&site, page.await?))
}

/// Follow an account
///
/// It is told, the first time.
#[utoipa::path(
    put, path = "/api/users/{username}/followed", tag = "readers",
    params(("username" = Username, Path, description = "The account's name")),
    responses(
        (status = 204, description = "It is followed"),
        ReadProblems, SignedProblems, BodyProblems, MissingProblem,
    )
)]
pub(crate) async fn follow<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    username: Result<Path<String>, PathRejection>,
    _: NoQuery,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    let followed = account(&site, username).await?;
    let store = &site.api.store;
    store.follow(signed.actor(), followed, site.now()).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// No longer follow an account
///
/// Whether it was followed makes no difference.
#[utoipa::path(
    delete, path = "/api/users/{username}/followed", tag = "readers",
    params(("username" = Username, Path, description = "The account's name")),
    responses(
        (status = 204, description = "It is not followed"),
        ReadProblems, SignedProblems, BodyProblems, MissingProblem,
    )
)]
pub(crate) async fn unfollow<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    username: Result<Path<String>, PathRejection>,
    _: NoQuery,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    let followed = account(&site, username).await?;
    site.api.store.unfollow(signed.actor(), followed).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whom one follows
#[utoipa::path(
    get, path = "/api/me/following", tag = "readers",
    params(PageParams),
    responses(
        (status = 200, description = "A page, last followed first", body = List<FollowedView>),
        ReadProblems, SignedProblems,
    )
)]
pub(crate) async fn following<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    RawQuery(query): RawQuery,
) -> Result<Json<List<FollowedView>>, Problem> {
    let user = signed.actor().id;
    let listing = Listing::read(&site, query.as_deref(), &format!("following|{user}"))?;
    let page = site.api.store.following(user, listing.after, listing.limit);
    Ok(listing.page(&site, page.await?))
}

async fn account<S: FullStore>(
    site: &Site<S>,
    username: Result<Path<String>, PathRejection>,
) -> Result<UserId, Problem> {
    let found = site.api.store.user_id(&username_in(username)?).await?;
    found.ok_or_else(Problem::not_found)
}
