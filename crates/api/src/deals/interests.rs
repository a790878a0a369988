//! Interests: expressing, reading, withdrawing, accepting, declining.

use crate::body::{Fields, NoBody};
use crate::extract::{Client, Id, IdempotencyKey, IfMatch, NoQuery, Signed};
use crate::listing::{List, Listing, PageParams};
use crate::money::{self, MoneyView};
use crate::once::{created, once, respond};
use crate::params::Params;
use crate::problem::{
    BodyProblems, ChangeProblems, ConflictProblem, MissingProblem, Problem, ReadProblems,
    SignedProblems,
};
use crate::represent::{PersonView, Versioned};
use crate::site::Site;
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use pitchey_model::lifecycle::InterestAction;
use pitchey_model::{
    Interest, InterestId, InterestStatus, Nda, NewInterest, PitchId, Side, decide,
};
use pitchey_store::FullStore;
use pitchey_store::market::StoredAnswer;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// An expression of interest.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InterestView {
    id: InterestId,
    pitch_id: PitchId,
    pitch_title: String,
    /// Who is interested.
    investor: PersonView,
    /// Who decides.
    creator: PersonView,
    status: InterestStatus,
    amount: MoneyView,
    message: String,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    decided_at: Option<OffsetDateTime>,
    /// In quotes, it may be sent as `If-Match`.
    version: i64,
}

impl From<Interest> for InterestView {
    fn from(interest: Interest) -> Self {
        Self {
            id: interest.id,
            pitch_id: interest.pitch,
            pitch_title: interest.pitch_title,
            investor: interest.investor.into(),
            creator: interest.creator.into(),
            status: interest.status,
            amount: interest.amount.into(),
            message: interest.message,
            created_at: interest.created_at,
            decided_at: interest.decided_at,
            version: interest.version,
        }
    }
}

/// How much, and what is said with it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what `express` reads")]
pub(crate) struct InterestOffer {
    /// At least one minor unit.
    amount: PositiveMoney,
    #[schema(max_length = 2000, nullable = false)]
    message: Option<String>,
}

/// An amount above nothing.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what `express` reads")]
pub(crate) struct PositiveMoney {
    /// In minor units.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    amount: i64,
    /// ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$")]
    currency: String,
}

/// Express interest
#[utoipa::path(
    post, path = "/api/pitches/{id}/interests", tag = "deals",
    params(
        ("id" = PitchId, Path, description = "The pitch"),
        ("Idempotency-Key" = Option<String>, Header, description = "Done once, however often it comes within 24 hours", min_length = 1, max_length = 128, pattern = "^[!#-\\[\\]-~]+$"),
    ),
    request_body = InterestOffer,
    responses(
        (status = 201, description = "The interest, which waits for an answer", body = InterestView),
        ReadProblems, SignedProblems, BodyProblems, ConflictProblem, MissingProblem,
    )
)]
pub(crate) async fn express<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    Id(pitch): Id<PitchId>,
    _: NoQuery,
    IdempotencyKey(key): IdempotencyKey,
    Client(origin): Client,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let hash = fields.hash();
    let amount = fields.required_object("amount", |amount| money::read(amount, 1));
    let message = fields.paragraphs("message", Nda::MAX_MESSAGE);
    let amount = fields.give(amount)?;
    let new = NewInterest {
        id: InterestId(site.new_id()),
        pitch,
        amount,
        message: message.unwrap_or_default(),
    };
    let route = format!("POST /api/pitches/{pitch}/interests");
    let once = once(&site, key, &route, hash, answer);
    let done = site
        .api
        .store
        .express_interest(signed.actor(), new, once, &origin, site.now())
        .await??;
    respond(done, answer)
}

fn answer(interest: &Interest) -> StoredAnswer {
    let location = format!("/api/interests/{}", interest.id);
    created(
        location,
        interest.version,
        &InterestView::from(interest.clone()),
    )
}

/// One's interests
///
/// Of one side, newest first.
#[utoipa::path(
    get, path = "/api/interests", tag = "deals",
    params(("side" = Side, Query, description = "What one expressed, or what was expressed in one's pitches"), PageParams),
    responses(
        (status = 200, description = "A page", body = List<InterestView>),
        ReadProblems, SignedProblems,
    )
)]
pub(crate) async fn interests<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    RawQuery(query): RawQuery,
) -> Result<Json<List<InterestView>>, Problem> {
    let user = signed.actor().id;
    let mut params = Params::parse(query.as_deref())?;
    let side = params.required_word("side").unwrap_or(Side::Outgoing);
    let listing = Listing::of(&site, params, &format!("interests|{user}|{side}"))?;
    let store = &site.api.store;
    let page = store
        .interests(user, side, listing.after, listing.limit)
        .await?;
    Ok(listing.page(&site, page))
}

/// An interest
///
/// For its two sides, and for admins.
#[utoipa::path(
    get, path = "/api/interests/{id}", tag = "deals",
    params(("id" = InterestId, Path, description = "The interest")),
    responses(
        (status = 200, description = "The interest", body = InterestView),
        (status = 304, description = "Still the one that If-None-Match names"),
        ReadProblems, SignedProblems, MissingProblem,
    )
)]
pub(crate) async fn interest<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    Id(id): Id<InterestId>,
    _: NoQuery,
) -> Result<Versioned, Problem> {
    let found = site.api.store.interest(id).await?;
    let interest = found.ok_or_else(Problem::not_found)?;
    decide::read_interest(signed.actor(), &interest)?;
    Versioned::new(interest.version, &InterestView::from(interest))
}

macro_rules! steps {
    ($($(#[doc = $doc:literal])* $name:ident: $path:literal, $action:ident;)*) => {$(
        $(#[doc = $doc])*
        #[utoipa::path(
            post, path = $path, tag = "deals",
            params(
                ("id" = InterestId, Path, description = "The interest"),
                ("If-Match" = String, Header, description = "The `ETag` of what was read, or its version in quotes"),
            ),
            responses(
                (status = 200, description = "The interest as it is now", body = InterestView),
                ReadProblems, SignedProblems, BodyProblems, ChangeProblems, ConflictProblem, MissingProblem,
            )
        )]
        pub(crate) async fn $name<S: FullStore>(
            State(site): State<Site<S>>,
            signed: Signed,
            Id(id): Id<InterestId>,
            _: NoQuery,
            IfMatch(expected): IfMatch,
            Client(origin): Client,
            _: NoBody,
        ) -> Result<Versioned, Problem> {
            let action = InterestAction::$action;
            let store = &site.api.store;
            let interest = store
                .step_interest(signed.actor(), id, &expected, action, &origin, site.now())
                .await??;
            Versioned::new(interest.version, &InterestView::from(interest))
        }
    )*};
}

steps! {
    /// Take an interest back
    withdraw_interest: "/api/interests/{id}/withdraw", Withdraw;
    /// Take an interest up
    accept: "/api/interests/{id}/accept", Accept;
    /// Turn an interest down
    decline: "/api/interests/{id}/decline", Decline;
}
