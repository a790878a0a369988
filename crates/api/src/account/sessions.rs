//! Sessions: `GET /api/auth/session`, the list of all, ending one, this one, or all.

use super::{SessionView, WhoView};
use crate::body::NoBody;
use crate::extract::{Client, Id, MaybeSigned, NoQuery, Signed};
use crate::problem::{BodyProblems, MissingProblem, Problem, ReadProblems, SignedProblems};
use crate::session::no_cookie;
use crate::site::Site;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, StatusCode, header};
use pitchey_model::{SessionId, SessionInfo};
use pitchey_store::FullStore;
use serde::Serialize;
use std::net::IpAddr;
use time::OffsetDateTime;
use utoipa::ToSchema;

/// Who is signed in, if anybody.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CurrentView {
    /// Null if nobody is.
    session: Option<SessionView>,
}

/// A session in the list of one's own.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionEntry {
    id: SessionId,
    /// Whether it is the one that asks.
    current: bool,
    /// What the browser or program calls itself.
    user_agent: String,
    /// From where it signed in.
    #[schema(value_type = Option<String>)]
    ip: Option<IpAddr>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// Give or take a minute.
    #[serde(with = "time::serde::rfc3339")]
    last_seen_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    idle_expires_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

/// One's own sessions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionList {
    /// Newest first, at most 100.
    items: Vec<SessionEntry>,
}

/// Who is signed in
#[utoipa::path(
    get, path = "/api/auth/session", tag = "accounts",
    responses(
        (status = 200, description = "The session of the request, or null", body = CurrentView),
        ReadProblems,
    )
)]
pub(crate) async fn session<S: FullStore>(
    State(site): State<Site<S>>,
    MaybeSigned(session): MaybeSigned,
    _: NoQuery,
) -> Json<CurrentView> {
    let session = session.map(|session| SessionView {
        user: WhoView {
            id: session.actor.id,
            username: session.actor.username.clone(),
            display_name: session.actor.display_name.clone(),
            role: session.actor.role,
        },
        session_id: session.actor.session,
        idle_expires_at: session.idle_expires_at,
        expires_at: session.expires_at,
        csrf_token: site.csrf_token(session.actor.session),
    });
    Json(CurrentView { session })
}

/// One's own sessions
#[utoipa::path(
    get, path = "/api/auth/sessions", tag = "accounts",
    responses(
        (status = 200, description = "The live ones", body = SessionList),
        ReadProblems, SignedProblems,
    )
)]
pub(crate) async fn sessions<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    _: NoQuery,
) -> Result<Json<SessionList>, Problem> {
    let actor = signed.actor();
    let found = site.api.store.sessions(actor.id, site.now()).await?;
    let entry = |info: SessionInfo| SessionEntry {
        current: info.id == actor.session,
        id: info.id,
        user_agent: info.user_agent,
        ip: info.ip,
        created_at: info.created_at,
        last_seen_at: info.last_seen_at,
        idle_expires_at: info.idle_expires_at,
        expires_at: info.expires_at,
    };
    let items = found.into_iter().map(entry).collect();
    Ok(Json(SessionList { items }))
}

/// End one of one's sessions
#[utoipa::path(
    delete, path = "/api/auth/sessions/{id}", tag = "accounts",
    params(("id" = SessionId, Path, description = "The session")),
    responses(
        (status = 204, description = "It is over"),
        ReadProblems, SignedProblems, BodyProblems, MissingProblem,
    )
)]
pub(crate) async fn end_session<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    Id(id): Id<SessionId>,
    _: NoQuery,
    Client(origin): Client,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    let ended = site
        .api
        .store
        .end_session(signed.actor().id, id, &origin, site.now())
        .await?;
    if ended {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found())
    }
}

/// Sign out here
///
/// Signing out without being signed in is no error.
#[utoipa::path(
    post, path = "/api/auth/logout", tag = "accounts",
    responses(
        (status = 204, description = "Nobody is signed in here any more"),
        ReadProblems, SignedProblems, BodyProblems,
    )
)]
pub(crate) async fn logout<S: FullStore>(
    State(site): State<Site<S>>,
    MaybeSigned(session): MaybeSigned,
    _: NoQuery,
    Client(origin): Client,
    _: NoBody,
) -> Result<Response, Problem> {
    if let Some(session) = session {
        let actor = &session.actor;
        let store = &site.api.store;
        store
            .end_session(actor.id, actor.session, &origin, site.now())
            .await?;
    }
    Ok(signed_out())
}

/// Sign out everywhere
#[utoipa::path(
    post, path = "/api/auth/logout-all", tag = "accounts",
    responses(
        (status = 204, description = "Every session of the account is over"),
        ReadProblems, SignedProblems, BodyProblems,
    )
)]
pub(crate) async fn logout_all<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    _: NoQuery,
    Client(origin): Client,
    _: NoBody,
) -> Result<Response, Problem> {
    let store = &site.api.store;
    store
        .end_sessions(signed.actor().id, &origin, site.now())
        .await?;
    Ok(signed_out())
}

/// The cookie is taken away, and whatever the browser kept of what was read.
fn signed_out() -> Response {
    let clear = HeaderName::from_static("clear-site-data");
    let headers = [(header::SET_COOKIE, no_cookie())];
    let mut response = (StatusCode::NO_CONTENT, headers).into_response();
    response.headers_mut().insert(
        clear,
        http::HeaderValue::from_static("\"cache\", \"storage\""),
    );
    response
}
