//! `POST /api/auth/register`.

use super::{MAX_PASSWORD, MIN_PASSWORD, SessionView, WhoView, opened, secret};
use crate::body::Fields;
use crate::extract::{Client, NoQuery};
use crate::problem::{
    BodyProblems, ConflictProblem, FieldError, Kind, Problem, ReadProblems, SignedProblems,
};
use crate::site::Site;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use pitchey_model::{Email, ProfileText, Role, UserId, Username};
use pitchey_store::FullStore;
use pitchey_store::accounts::{NewAccount, Taken};
use serde::Deserialize;
use utoipa::ToSchema;

/// An account to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what `register` reads")]
pub(crate) struct Registration {
    /// What its owner signs in with.
    #[schema(format = "email", min_length = 3, max_length = 254)]
    email: String,
    /// Its name in addresses, for ever.
    username: Username,
    /// Any characters; one that would be guessed soon is refused.
    #[schema(format = "password", min_length = 12, max_length = 256)]
    password: String,
    /// What it is for: `creator`, `investor` or `production`.
    #[schema(value_type = String, pattern = "^(creator|investor|production)$")]
    role: Role,
    /// Its name on pages; the username if absent.
    #[schema(min_length = 1, max_length = 80)]
    display_name: Option<String>,
}

/// Make an account
///
/// The one who asks is signed in at once.
#[utoipa::path(
    post, path = "/api/auth/register", tag = "accounts",
    request_body = Registration,
    responses(
        (status = 201, description = "The account is made, and its owner signed in", body = SessionView),
        ReadProblems, SignedProblems, BodyProblems, ConflictProblem,
    )
)]
pub(crate) async fn register<S: FullStore>(
    State(site): State<Site<S>>,
    _: NoQuery,
    Client(origin): Client,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let email = fields.required_shaped::<Email>("email");
    let username = fields.required_shaped::<Username>("username");
    let password = fields.required_secret("password", MIN_PASSWORD, MAX_PASSWORD);
    let role = fields.required_word::<Role>("role");
    if role == Some(Role::Admin) {
        let detail = "must be creator, investor or production";
        fields.fail("role", "unknown_value", detail);
    }
    let display_name = fields.full_line("display_name", ProfileText::MAX_DISPLAY_NAME);
    let read = email.zip(username).zip(password).zip(role);
    let (((email, username), password), role) = fields.give(read)?;
    let display_name = display_name.unwrap_or_else(|| username.as_str().to_owned());

    let about = vec![
        username.as_str().to_owned(),
        display_name.clone(),
        email.as_str().to_owned(),
    ];
    let passwords = &site.shared.passwords;
    let Ok(password_hash) = passwords.hash(secret(password), about).await? else {
        return Err(Problem::invalid_content(vec![super::password::weak(
            "password",
        )]));
    };
    let (session, token) = site.new_session(&headers);
    let account = NewAccount {
        id: UserId(site.new_id()),
        username,
        email,
        password_hash,
        role,
        display_name,
    };
    let who = WhoView {
        id: account.id,
        username: account.username.clone(),
        display_name: account.display_name.clone(),
        role,
    };
    let now = site.now();
    let made = site
        .api
        .store
        .register(account, Some(session.clone()), &origin, now)
        .await?;
    match made {
        Ok(()) => Ok(opened(&site, StatusCode::CREATED, who, &session, &token)),
        Err(taken) => Err(is_taken(taken)),
    }
}

fn is_taken(taken: Taken) -> Problem {
    let error = |pointer: &str| FieldError {
        pointer: pointer.to_owned(),
        code: "taken",
        detail: "is taken".to_owned(),
    };
    let mut errors = Vec::new();
    if taken.email {
        errors.push(error("/email"));
    }
    if taken.username {
        errors.push(error("/username"));
    }
    Problem::new(Kind::Conflict, "there is such an account already").with_errors(errors)
}
