//! `POST /api/auth/password`.

use super::{MAX_PASSWORD, MIN_PASSWORD, SessionView, WhoView, opened, secret, throttle};
use crate::body::Fields;
use crate::extract::{Client, NoQuery, Signed};
use crate::problem::{
    BodyProblems, ConflictProblem, FieldError, Kind, Problem, ReadProblems, SignedProblems,
};
use crate::site::Site;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use pitchey_store::FullStore;
use pitchey_store::accounts::Rehash;
use serde::Deserialize;
use utoipa::ToSchema;

/// One password for another.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what `change_password` reads")]
pub(crate) struct PasswordChange {
    /// The one that holds.
    #[schema(format = "password", min_length = 1, max_length = 256)]
    current_password: String,
    /// The one that shall hold.
    #[schema(format = "password", min_length = 12, max_length = 256)]
    new_password: String,
}

/// Change the password
///
/// Every session ends, the one that asks included; it is given a new one.
#[utoipa::path(
    post, path = "/api/auth/password", tag = "accounts",
    request_body = PasswordChange,
    responses(
        (status = 200, description = "Changed, and signed in anew", body = SessionView),
        ReadProblems, SignedProblems, BodyProblems, ConflictProblem,
    )
)]
pub(crate) async fn change_password<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    _: NoQuery,
    Client(origin): Client,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let current = fields.required_secret("current_password", 1, MAX_PASSWORD);
    let new = fields.required_secret("new_password", MIN_PASSWORD, MAX_PASSWORD);
    let (current, new) = fields.give(current.zip(new))?;
    let actor = signed.actor();
    throttle(&site, &actor.id.to_string(), &origin).await?;

    let store = &site.api.store;
    let found = store
        .credentials_of(actor.id)
        .await?
        .ok_or_else(Problem::not_found)?;
    let passwords = &site.shared.passwords;
    let verified = passwords
        .verify(secret(current), found.password_hash.clone())
        .await?;
    let Some(old) = found.password_hash.filter(|_| verified.matches) else {
        return Err(Problem::invalid_content(vec![FieldError {
            pointer: "/current_password".to_owned(),
            code: "wrong",
            detail: "is not the password of this account".to_owned(),
        }]));
    };
    let about = vec![found.username.as_str().to_owned(), found.display_name];
    let Ok(new) = passwords.hash(secret(new), about).await? else {
        return Err(Problem::invalid_content(vec![weak("new_password")]));
    };
    let (session, token) = site.new_session(&headers);
    let rehash = Rehash { old, new };
    let changed = store
        .change_password(actor.id, rehash, session.clone(), &origin, site.now())
        .await?;
    if !changed {
        let detail = "the password was changed meanwhile";
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let who = WhoView {
        id: actor.id,
        username: actor.username.clone(),
        display_name: actor.display_name.clone(),
        role: actor.role,
    };
    Ok(opened(&site, StatusCode::OK, who, &session, &token))
}

pub(super) fn weak(name: &str) -> FieldError {
    FieldError {
        pointer: format!("/{name}"),
        code: "too_weak",
        detail: "would be guessed too soon: it is common, or made of the account's own names"
            .to_owned(),
    }
}
