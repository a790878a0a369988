//! `POST /api/auth/login`.

use super::{MAX_PASSWORD, SessionView, WhoView, opened, secret, throttle};
use crate::body::Fields;
use crate::extract::{Client, NoQuery, Token};
use crate::problem::{BodyProblems, Kind, Problem, ReadProblems, SignedProblems};
use crate::site::Site;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use pitchey_model::Email;
use pitchey_store::FullStore;
use pitchey_store::accounts::{Origin, Proof, TokenHash};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

/// Who wants to sign in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what `login` reads")]
pub(crate) struct SignIn {
    /// The account's address.
    #[schema(format = "email", min_length = 3, max_length = 254)]
    email: String,
    /// Its password.
    #[schema(format = "password", min_length = 1, max_length = 256)]
    password: String,
}

/// Sign in
///
/// A new session each time; the one that the request came with ends. An unknown address and a wrong
/// password are answered alike, in the same time.
#[utoipa::path(
    post, path = "/api/auth/login", tag = "accounts",
    request_body = SignIn,
    responses(
        (status = 200, description = "Signed in", body = SessionView),
        ReadProblems, SignedProblems, BodyProblems,
    )
)]
pub(crate) async fn login<S: FullStore>(
    State(site): State<Site<S>>,
    _: NoQuery,
    Client(origin): Client,
    Token(replaced): Token,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let email = fields.required_shaped::<Email>("email");
    let password = fields.required_secret("password", 1, MAX_PASSWORD);
    let (email, password) = fields.give(email.zip(password))?;
    throttle(&site, email.as_str(), &origin).await?;

    let password = secret(password);
    let attempt = Attempt {
        site: &site,
        email: &email,
        password: &password,
        replaced: replaced.map(|token| token.hash()),
        origin: &origin,
        headers: &headers,
    };
    // Between check and sign-in another one may have stored a fresher hash of the same password.
    for _ in 0..2 {
        if let Some(opened) = attempt.make().await? {
            return Ok(opened);
        }
    }
    Err(attempt.refuse())
}

struct Attempt<'a, S> {
    site: &'a Site<S>,
    email: &'a Email,
    password: &'a SecretString,
    replaced: Option<TokenHash>,
    origin: &'a Origin,
    headers: &'a HeaderMap,
}

impl<S: FullStore> Attempt<'_, S> {
    /// `None` if what was checked holds no more.
    async fn make(&self) -> Result<Option<Response>, Problem> {
        let Site { api, shared } = self.site;
        let found = api.store.credentials(self.email).await?;
        let hash = found.as_ref().and_then(|found| found.password_hash.clone());
        let verified = shared
            .passwords
            .verify(self.password.clone(), hash.clone())
            .await?;
        let (Some(found), Some(hash), true) = (found, hash, verified.matches) else {
            return Err(self.refuse());
        };
        // Told only to who knows the password.
        if found.locked {
            return Err(Problem::new(Kind::AccountLocked, "the account is locked"));
        }
        let (session, token) = self.site.new_session(self.headers);
        let proof = Proof {
            hash,
            fresher: verified.rehash,
        };
        let opening = api.store.open_session(
            found.id,
            session.clone(),
            self.replaced,
            Some(proof),
            self.origin,
            self.site.now(),
        );
        if !opening.await? {
            return Ok(None);
        }
        let who = WhoView {
            id: found.id,
            username: found.username,
            display_name: found.display_name,
            role: found.role,
        };
        let answer = opened(self.site, StatusCode::OK, who, &session, &token);
        Ok(Some(answer))
    }

    fn refuse(&self) -> Problem {
        let client = self.origin.ip.map(tracing::field::display);
        tracing::info!(event = "login_failed", client, "wrong credentials");
        let detail = "there is no account with this address and this password";
        Problem::new(Kind::WrongCredentials, detail)
    }
}
