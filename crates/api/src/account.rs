//! Accounts: registering, signing in and out, sessions, the password, one's own profile.

mod me;
mod password;
mod register;
mod sessions;
mod sign_in;

pub(crate) use me::{__path_change_me, __path_me, change_me, me};
pub(crate) use password::{__path_change_password, change_password};
pub(crate) use register::{__path_register, register};
pub(crate) use sessions::{
    __path_end_session, __path_logout, __path_logout_all, __path_session, __path_sessions,
    end_session, logout, logout_all, session, sessions,
};
pub(crate) use sign_in::{__path_login, login};

use crate::problem::Problem;
use crate::session::SessionToken;
use crate::site::Site;
use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use pitchey_model::{MAX_PASSWORD, MIN_PASSWORD, Role, SessionId, UserId, Username};
use pitchey_store::accounts::{NewSession, Origin};
use secrecy::SecretString;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::net::Ipv4Addr;
use time::OffsetDateTime;
use utoipa::ToSchema;

/// Who is signed in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WhoView {
    id: UserId,
    username: Username,
    display_name: String,
    role: Role,
}

/// A session, and who is signed in with it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionView {
    user: WhoView,
    session_id: SessionId,
    /// When it ends if it is not used.
    #[serde(with = "time::serde::rfc3339")]
    idle_expires_at: OffsetDateTime,
    /// When it ends in any case.
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
    /// For browsers that do not say where their requests come from: sent back as `X-CSRF-Token`.
    csrf_token: String,
}

impl SessionView {
    fn new<S>(site: &Site<S>, user: WhoView, session: &NewSession) -> Self {
        Self {
            user,
            session_id: session.id,
            idle_expires_at: session.idle_expires_at,
            expires_at: session.expires_at,
            csrf_token: site.csrf_token(session.id),
        }
    }
}

/// The answer that begins a session: its cookie, and who is signed in.
fn opened<S>(
    site: &Site<S>,
    status: StatusCode,
    user: WhoView,
    session: &NewSession,
    token: &SessionToken,
) -> Response {
    let lasts = site.shared.settings.session_absolute;
    let cookie = [(header::SET_COOKIE, token.cookie(lasts))];
    let view = SessionView::new(site, user, session);
    (status, cookie, Json(view)).into_response()
}

/// Passwords of one account are tried only so often, whether it exists or not: by one client, and by all.
async fn throttle<S>(site: &Site<S>, account: &str, origin: &Origin) -> Result<(), Problem> {
    let hash = Sha256::digest(account);
    let key = std::array::from_fn(|i| hash[i]);
    let client = origin.ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let now = site.api.clock.now();
    site.shared.limits.count_account(key, client, now).await
}

/// A password, exactly as it was sent.
fn secret(text: String) -> SecretString {
    SecretString::from(text)
}
