//! The figures of the dashboards.

use crate::extract::{NoQuery, Signed};
use crate::problem::{Problem, ReadProblems, SignedProblems};
use crate::site::Site;
use axum::Json;
use axum::extract::State;
use pitchey_model::decide::Refusal;
use pitchey_model::permission::{self, Area};
use pitchey_store::FullStore;
use pitchey_store::market::{CreatorFigures, InvestorFigures};
use serde::Serialize;
use utoipa::ToSchema;

/// The figures of a creator.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatorDashboard {
    drafts: i64,
    published: i64,
    archived: i64,
    /// Counted up to 10,000.
    followers: i64,
    ndas_waiting: i64,
    interests_waiting: i64,
    /// Of all pitches, ever. This and what follows is some minutes old.
    views: i64,
    views_7d: i64,
    saves: i64,
    ndas_requested: i64,
    ndas_approved: i64,
    interests: i64,
}

impl From<CreatorFigures> for CreatorDashboard {
    fn from(figures: CreatorFigures) -> Self {
        Self {
            drafts: figures.drafts,
            published: figures.published,
            archived: figures.archived,
            followers: figures.followers,
            ndas_waiting: figures.ndas_waiting,
            interests_waiting: figures.interests_waiting,
            views: figures.views,
            views_7d: figures.views_7d,
            saves: figures.saves,
            ndas_requested: figures.ndas_requested,
            ndas_approved: figures.ndas_approved,
            interests: figures.interests,
        }
    }
}

/// The figures of an investor or a production company.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InvestorDashboard {
    saved: i64,
    following: i64,
    ndas_waiting: i64,
    ndas_approved: i64,
    interests_waiting: i64,
    interests_accepted: i64,
}

impl From<InvestorFigures> for InvestorDashboard {
    fn from(figures: InvestorFigures) -> Self {
        Self {
            saved: figures.saved,
            following: figures.following,
            ndas_waiting: figures.ndas_waiting,
            ndas_approved: figures.ndas_approved,
            interests_waiting: figures.interests_waiting,
            interests_accepted: figures.interests_accepted,
        }
    }
}

/// A creator's figures
#[utoipa::path(
    get, path = "/api/dashboard/creator", tag = "creators",
    responses(
        (status = 200, description = "The figures", body = CreatorDashboard),
        ReadProblems, SignedProblems,
    )
)]
pub(crate) async fn creator<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    _: NoQuery,
) -> Result<Json<CreatorDashboard>, Problem> {
    enter(&signed, Area::CreatorDashboard)?;
    let figures = site.api.store.creator_figures(signed.actor().id);
    Ok(Json(figures.await?.into()))
}

/// An investor's figures
#[utoipa::path(
    get, path = "/api/dashboard/investor", tag = "readers",
    responses(
        (status = 200, description = "The figures", body = InvestorDashboard),
        ReadProblems, SignedProblems,
    )
)]
pub(crate) async fn investor<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    _: NoQuery,
) -> Result<Json<InvestorDashboard>, Problem> {
    enter(&signed, Area::InvestorDashboard)?;
    let store = &site.api.store;
    let figures = store.investor_figures(signed.actor().id, site.now());
    Ok(Json(figures.await?.into()))
}

fn enter(signed: &Signed, area: Area) -> Result<(), Refusal> {
    permission::area(Some(signed.actor().role), area).into()
}
