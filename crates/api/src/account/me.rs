//! One's own account: `GET` and `PATCH /api/me`.

use crate::body::Fields;
use crate::extract::{IfMatch, NoQuery, Signed};
use crate::problem::{BodyProblems, ChangeProblems, Problem, ReadProblems, SignedProblems};
use crate::represent::Versioned;
use crate::site::Site;
use axum::extract::State;
use pitchey_model::{Account, MediaId, ProfileChange, ProfileText, Role, UserId, Username};
use pitchey_store::FullStore;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// One's own account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountView {
    id: UserId,
    username: Username,
    email: Option<String>,
    role: Role,
    display_name: String,
    bio: String,
    company: String,
    location: String,
    website: Option<String>,
    avatar_media_id: Option<MediaId>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    version: i64,
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        let ProfileText {
            display_name,
            bio,
            company,
            location,
            website,
        } = account.profile;
        Self {
            id: account.id,
            username: account.username,
            email: account.email.map(|email| email.to_string()),
            role: account.role,
            display_name,
            bio,
            company,
            location,
            website,
            avatar_media_id: account.avatar,
            created_at: account.created_at,
            updated_at: account.updated_at,
            version: account.version,
        }
    }
}

/// What to change about oneself: what is absent stays (RFC 7396).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what `change_me` reads")]
pub(crate) struct AccountChange {
    #[schema(min_length = 1, max_length = 80, nullable = false)]
    display_name: Option<String>,
    #[schema(max_length = 2000, nullable = false)]
    bio: Option<String>,
    #[schema(max_length = 120, nullable = false)]
    company: Option<String>,
    #[schema(max_length = 120, nullable = false)]
    location: Option<String>,
    /// An address with `https://` or `http://`; null takes it away.
    #[schema(max_length = 300, pattern = "^https?://[!-~]+$")]
    website: Option<String>,
}

/// One's own account
#[utoipa::path(
    get, path = "/api/me", tag = "accounts",
    responses(
        (status = 200, description = "The account", body = AccountView),
        (status = 304, description = "Still the one that If-None-Match names"),
        ReadProblems, SignedProblems,
    )
)]
pub(crate) async fn me<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    _: NoQuery,
) -> Result<Versioned, Problem> {
    let account = site
        .api
        .store
        .account(signed.actor().id)
        .await?
        .ok_or_else(Problem::not_found)?;
    Versioned::new(account.version, &AccountView::from(account))
}

/// Change what one says about oneself
#[utoipa::path(
    patch, path = "/api/me", tag = "accounts",
    params(("If-Match" = String, Header, description = "The `ETag` of what was read")),
    request_body = AccountChange,
    responses(
        (status = 200, description = "The account as it is now", body = AccountView),
        ReadProblems, SignedProblems, BodyProblems, ChangeProblems,
    )
)]
pub(crate) async fn change_me<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    _: NoQuery,
    IfMatch(expected): IfMatch,
    mut fields: Fields,
) -> Result<Versioned, Problem> {
    let website = fields.nullable("website", |fields, name| {
        let website = fields.full_line(name, ProfileText::MAX_WEBSITE)?;
        if !is_web_address(&website) {
            fields.fail(
                name,
                "malformed",
                "must be an address with https:// or http://",
            );
        }
        Some(website)
    });
    let change = ProfileChange {
        display_name: fields.full_line("display_name", ProfileText::MAX_DISPLAY_NAME),
        bio: fields.paragraphs("bio", ProfileText::MAX_BIO),
        company: fields.line("company", ProfileText::MAX_PLACE),
        location: fields.line("location", ProfileText::MAX_PLACE),
        website,
    };
    fields.finish()?;
    let account = site
        .api
        .store
        .change_profile(signed.actor(), &expected, change, site.now())
        .await??;
    Versioned::new(account.version, &AccountView::from(account))
}

/// Pages link to it: nothing but the web's own schemes, and nothing that needs escaping.
fn is_web_address(text: &str) -> bool {
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic()))
}
