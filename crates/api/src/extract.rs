//! What handlers take from a request: ids in the path, preconditions, keys, who is signed in.

use crate::params::{self, bad_path};
use crate::problem::{FieldError, Kind, Problem, RequestId};
use crate::session::{self, SessionToken};
use crate::site::{ClientAddress, Site};
use axum::extract::{FromRequestParts, Path};
use http::HeaderMap;
use http::header::IF_MATCH;
use http::request::Parts;
use pitchey_model::Actor;
use pitchey_model::decide::Expected;
use pitchey_store::FullStore;
use pitchey_store::accounts::{Origin, Session};
use std::sync::Arc;
use uuid::Uuid;

/// The `{id}` in the path. An id has one spelling, lower case with hyphens: one thing, one address, one key
/// in the caches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Id<T>(pub(crate) T);

impl<S: Send + Sync, T: From<Uuid>> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(raw) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| bad_path("id", "must be percent-encoded UTF-8"))?;
        let id = Uuid::parse_str(&raw).ok();
        id.filter(|id| id.to_string() == raw)
            .map(|id| Self(id.into()))
            .ok_or_else(|| bad_path("id", "must be a UUID in lower case with hyphens"))
    }
}

/// An address that takes no parameters in its query.
#[derive(Debug)]
pub(crate) struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        params::none(parts.uri.query()).map(|()| Self)
    }
}

/// Which versions `If-Match` names: a change needs it.
#[derive(Debug)]
pub(crate) struct IfMatch(pub(crate) Expected);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut tags = Vec::new();
        let mut lines = parts.headers.get_all(IF_MATCH).iter().peekable();
        if lines.peek().is_none() {
            return Err(Problem::new(
                Kind::PreconditionRequired,
                "send the ETag of what you read as If-Match",
            ));
        }
        for line in lines.filter_map(|line| line.to_str().ok()) {
            tags.extend(line.split(',').map(str::trim));
        }
        if tags.contains(&"*") {
            return Ok(Self(Expected::Any));
        }
        let versions = tags.into_iter().filter_map(version_of);
        Ok(Self(Expected::OneOf(versions.collect())))
    }
}

/// The version that opens a strong tag of ours, `"<version>.<hash>"`; a bare `"<version>"` means as much.
fn version_of(tag: &str) -> Option<i64> {
    let opaque = tag.strip_prefix('"')?.strip_suffix('"')?;
    let version = opaque.split('.').next()?;
    version
        .parse()
        .ok()
        .filter(|version: &i64| version.to_string() == opaque.split('.').next().unwrap_or_default())
}

/// The `Idempotency-Key`, if the client sent one: a string as of structured fields, or the bare key.
#[derive(Debug)]
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut lines = parts.headers.get_all("idempotency-key").iter();
        let Some(line) = lines.next() else {
            return Ok(Self(None));
        };
        let key = line.to_str().ok().map(str::trim).map(|text| {
            text.strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'))
                .unwrap_or(text)
        });
        let fine = |key: &&str| {
            (1..=128).contains(&key.len())
                && key
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
        };
        match (key.filter(fine), lines.next()) {
            (Some(key), None) => Ok(Self(Some(key.to_owned()))),
            _ => Err(Problem::invalid_parameters(vec![FieldError {
                pointer: "/header/Idempotency-Key".to_owned(),
                code: "malformed",
                detail: "must be one key of 1 to 128 visible ASCII characters".to_owned(),
            }])),
        }
    }
}

/// Who is signed in; without anybody the request is refused.
#[derive(Debug, Clone)]
pub(crate) struct Signed(pub(crate) Arc<Session>);

impl Signed {
    pub(crate) fn actor(&self) -> &Actor {
        &self.0.actor
    }
}

impl<S: FullStore> FromRequestParts<Site<S>> for Signed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, site: &Site<S>) -> Result<Self, Problem> {
        let MaybeSigned(session) = MaybeSigned::from_request_parts(parts, site).await?;
        session
            .map(Self)
            .ok_or_else(|| Problem::new(Kind::SignInRequired, "nobody is signed in"))
    }
}

/// Who is signed in, if anybody.
#[derive(Debug, Clone)]
pub(crate) struct MaybeSigned(pub(crate) Option<Arc<Session>>);

impl<S: FullStore> FromRequestParts<Site<S>> for MaybeSigned {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, site: &Site<S>) -> Result<Self, Problem> {
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let session = session::find(site, &parts.headers).await?;
        let found = Self(session.map(Arc::new));
        parts.extensions.insert(found.clone());
        Ok(found)
    }
}

/// The token that the request came with, good or not.
#[derive(Debug)]
pub(crate) struct Token(pub(crate) Option<SessionToken>);

impl<S: Send + Sync> FromRequestParts<S> for Token {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(SessionToken::of(&parts.headers)))
    }
}

/// Where the request came from.
#[derive(Debug)]
pub(crate) struct Client(pub(crate) Origin);

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let ip = parts.extensions.get::<ClientAddress>();
        let id = parts.extensions.get::<RequestId>();
        Ok(Self(Origin {
            ip: ip.map(|address| address.0),
            request_id: id.map(|id| id.0.clone()),
        }))
    }
}

/// What the browser or program calls itself, cut to what is kept of it.
pub(crate) fn user_agent(headers: &HeaderMap) -> String {
    let text = headers
        .get(http::header::USER_AGENT)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let text = text.unwrap_or_default();
    text.chars().filter(|c| !c.is_control()).take(512).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_opens_with_its_version() {
        for (tag, version) in [
            (r#""7.abc""#, Some(7)),
            (r#""7.abc-br""#, Some(7)),
            (r#""7""#, Some(7)),
            (r#"W/"7.abc""#, None),
            (r#""07.abc""#, None),
            (r#""+7""#, None),
            (r#""abc""#, None),
            ("7", None),
            ("", None),
        ] {
            assert_eq!(version_of(tag), version, "{tag}");
        }
    }
}
