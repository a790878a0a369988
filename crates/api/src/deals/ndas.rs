//! NDAs: asking for one, reading, approving, rejecting, revoking.

use crate::body::{Fields, OptionalFields};
use crate::extract::{Client, Id, IdempotencyKey, IfMatch, NoQuery, Signed};
use crate::listing::{List, Listing, PageParams};
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
use pitchey_model::decide::{self, Expected, NdaStep};
use pitchey_model::lifecycle::NdaAction;
use pitchey_model::{Nda, NdaId, NdaStatus, NewNda, PitchId, Side};
use pitchey_store::FullStore;
use pitchey_store::accounts::Origin;
use pitchey_store::market::StoredAnswer;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

/// A non-disclosure agreement.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NdaView {
    id: NdaId,
    pitch_id: PitchId,
    pitch_title: String,
    /// Who asks.
    requester: PersonView,
    /// Who decides.
    creator: PersonView,
    status: NdaStatus,
    message: String,
    /// What was said when it was decided.
    decision: String,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    decided_at: Option<OffsetDateTime>,
    /// Until when an approved one holds.
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
    /// In quotes, it may be sent as `If-Match`.
    version: i64,
}

impl From<Nda> for NdaView {
    fn from(nda: Nda) -> Self {
        Self {
            id: nda.id,
            pitch_id: nda.pitch,
            pitch_title: nda.pitch_title,
            requester: nda.requester.into(),
            creator: nda.creator.into(),
            status: nda.status,
            message: nda.message,
            decision: nda.decision,
            created_at: nda.created_at,
            decided_at: nda.decided_at,
            expires_at: nda.expires_at,
            version: nda.version,
        }
    }
}

/// What is said when an NDA is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what `request` reads")]
pub(crate) struct NdaRequest {
    #[schema(max_length = 2000, nullable = false)]
    message: Option<String>,
}

/// What is said when an NDA is approved.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what `approve` reads")]
pub(crate) struct NdaApproval {
    #[schema(max_length = 2000, nullable = false)]
    decision: Option<String>,
    /// How long it holds, 365 days if absent.
    #[schema(minimum = 1, maximum = 3650, nullable = false)]
    expires_in_days: Option<i64>,
}

/// What is said when an NDA is rejected or revoked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what `reject` and `revoke` read")]
pub(crate) struct NdaDecision {
    #[schema(max_length = 2000, nullable = false)]
    decision: Option<String>,
}

/// Ask for an NDA
#[utoipa::path(
    post, path = "/api/pitches/{id}/ndas", tag = "deals",
    params(
        ("id" = PitchId, Path, description = "The pitch"),
        ("Idempotency-Key" = Option<String>, Header, description = "Done once, however often it comes within 24 hours", min_length = 1, max_length = 128, pattern = "^[!#-\\[\\]-~]+$"),
    ),
    request_body = Option<NdaRequest>,
    responses(
        (status = 201, description = "The request, which waits for an answer", body = NdaView),
        ReadProblems, SignedProblems, BodyProblems, ConflictProblem, MissingProblem,
    )
)]
pub(crate) async fn request<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    Id(pitch): Id<PitchId>,
    _: NoQuery,
    IdempotencyKey(key): IdempotencyKey,
    Client(origin): Client,
    OptionalFields(mut fields): OptionalFields,
) -> Result<Response, Problem> {
    let hash = fields.hash();
    let message = fields.paragraphs("message", Nda::MAX_MESSAGE);
    fields.finish()?;
    let new = NewNda {
        id: NdaId(site.new_id()),
        pitch,
        message: message.unwrap_or_default(),
    };
    let route = format!("POST /api/pitches/{pitch}/ndas");
    let once = once(&site, key, &route, hash, answer);
    let done = site
        .api
        .store
        .request_nda(signed.actor(), new, once, &origin, site.now())
        .await??;
    respond(done, answer)
}

fn answer(nda: &Nda) -> StoredAnswer {
    let location = format!("/api/ndas/{}", nda.id);
    created(location, nda.version, &NdaView::from(nda.clone()))
}

/// One's NDAs
///
/// Of one side, newest first.
#[utoipa::path(
    get, path = "/api/ndas", tag = "deals",
    params(("side" = Side, Query, description = "What one asked for, or what was asked of one"), PageParams),
    responses(
        (status = 200, description = "A page", body = List<NdaView>),
        ReadProblems, SignedProblems,
    )
)]
pub(crate) async fn ndas<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    RawQuery(query): RawQuery,
) -> Result<Json<List<NdaView>>, Problem> {
    let user = signed.actor().id;
    let mut params = Params::parse(query.as_deref())?;
    let side = params.required_word("side").unwrap_or(Side::Outgoing);
    let listing = Listing::of(&site, params, &format!("ndas|{user}|{side}"))?;
    let store = &site.api.store;
    let page = store.ndas(user, side, listing.after, listing.limit).await?;
    Ok(listing.page(&site, page))
}

/// An NDA
///
/// For its two sides, and for admins.
#[utoipa::path(
    get, path = "/api/ndas/{id}", tag = "deals",
    params(("id" = NdaId, Path, description = "The agreement")),
    responses(
        (status = 200, description = "The agreement", body = NdaView),
        (status = 304, description = "Still the one that If-None-Match names"),
        ReadProblems, SignedProblems, MissingProblem,
    )
)]
pub(crate) async fn nda<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    Id(id): Id<NdaId>,
    _: NoQuery,
) -> Result<Versioned, Problem> {
    let found = site.api.store.nda(id).await?;
    let nda = found.ok_or_else(Problem::not_found)?;
    decide::read_nda(signed.actor(), &nda)?;
    Versioned::new(nda.version, &NdaView::from(nda))
}

async fn step<S: FullStore>(
    site: &Site<S>,
    signed: &Signed,
    id: NdaId,
    expected: &Expected,
    step: NdaStep,
    origin: &Origin,
) -> Result<Versioned, Problem> {
    let nda = site
        .api
        .store
        .step_nda(signed.actor(), id, expected, step, origin, site.now())
        .await??;
    Versioned::new(nda.version, &NdaView::from(nda))
}

fn read_decision(fields: &mut Fields) -> String {
    let decision = fields.paragraphs("decision", Nda::MAX_MESSAGE);
    decision.unwrap_or_default()
}

/// Approve an NDA
#[utoipa::path(
    post, path = "/api/ndas/{id}/approve", tag = "deals",
    params(
        ("id" = NdaId, Path, description = "The agreement"),
        ("If-Match" = String, Header, description = "The `ETag` of what was read, or its version in quotes"),
    ),
    request_body = Option<NdaApproval>,
    responses(
        (status = 200, description = "The agreement as it is now", body = NdaView),
        ReadProblems, SignedProblems, BodyProblems, ChangeProblems, ConflictProblem, MissingProblem,
    )
)]
pub(crate) async fn approve<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    Id(id): Id<NdaId>,
    _: NoQuery,
    IfMatch(expected): IfMatch,
    Client(origin): Client,
    OptionalFields(mut fields): OptionalFields,
) -> Result<Versioned, Problem> {
    let decision = read_decision(&mut fields);
    let days = fields.integer("expires_in_days", 1..=Nda::MAX_TERM_DAYS);
    fields.finish()?;
    let approval = NdaStep {
        action: NdaAction::Approve,
        decision,
        expires_at: days.map(|days| site.now() + Duration::days(days)),
    };
    step(&site, &signed, id, &expected, approval, &origin).await
}

macro_rules! refusals {
    ($($(#[doc = $doc:literal])* $name:ident: $path:literal, $action:ident;)*) => {$(
        $(#[doc = $doc])*
        #[utoipa::path(
            post, path = $path, tag = "deals",
            params(
                ("id" = NdaId, Path, description = "The agreement"),
                ("If-Match" = String, Header, description = "The `ETag` of what was read, or its version in quotes"),
            ),
            request_body = Option<NdaDecision>,
            responses(
                (status = 200, description = "The agreement as it is now", body = NdaView),
                ReadProblems, SignedProblems, BodyProblems, ChangeProblems, ConflictProblem, MissingProblem,
            )
        )]
        pub(crate) async fn $name<S: FullStore>(
            State(site): State<Site<S>>,
            signed: Signed,
            Id(id): Id<NdaId>,
            _: NoQuery,
            IfMatch(expected): IfMatch,
            Client(origin): Client,
            OptionalFields(mut fields): OptionalFields,
        ) -> Result<Versioned, Problem> {
            let decision = read_decision(&mut fields);
            fields.finish()?;
            let refusal = NdaStep { action: NdaAction::$action, decision, expires_at: None };
            step(&site, &signed, id, &expected, refusal, &origin).await
        }
    )*};
}

refusals! {
    /// Reject an NDA
    reject: "/api/ndas/{id}/reject", Reject;
    /// Take an approval back
    ///
    /// Its holder no longer reads the protected part, from the next request on.
    revoke: "/api/ndas/{id}/revoke", Revoke;
}
