//! What an edge is told of the session of a request, so that it knows whom it serves.
//!
//! It learns an account, a role and a time, by the hash of the token; nothing private is ever decided by it.

use crate::cached::Responses;
use crate::edge::{FromEdge, write_as_of};
use crate::extract::MaybeSigned;
use crate::session::{SessionToken, cache_key};
use crate::site::Site;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};
use pitchey_cache::AsOf;
use pitchey_model::event::Tag;
use pitchey_model::{Role, SessionId, UserId};
use pitchey_store::FullStore;
use pitchey_store::accounts::Session;
use std::fmt::Write as _;
use time::OffsetDateTime;

/// Whose session a request came with: from the origin, to an edge.
pub const SESSION: HeaderName = HeaderName::from_static("pitchey-edge-session");

/// A session that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldSession {
    /// Whose it is.
    pub account: UserId,
    /// Which one it is.
    pub session: SessionId,
    /// What they are.
    pub role: Role,
    /// When it ends, if it is not used until then.
    pub ends_at: OffsetDateTime,
    /// The moment before the origin looked, in the numbers of the caches; `None` if it hears none.
    pub as_of: Option<AsOf>,
}

impl ToldSession {
    fn new(session: &Session, as_of: Option<AsOf>) -> Self {
        Self {
            account: session.actor.id,
            session: session.actor.session,
            role: session.actor.role,
            ends_at: session.idle_expires_at.min(session.expires_at),
            as_of,
        }
    }

    /// The field that tells it.
    fn write(&self) -> Option<HeaderValue> {
        let Self {
            account,
            session,
            role,
            ends_at,
            as_of,
        } = self;
        let ends_at = ends_at.unix_timestamp();
        let mut text = format!("{account} {session} {role} {ends_at}");
        if let Some(as_of) = as_of.map(write_as_of) {
            let _ = write!(text, " {}", as_of.to_str().ok()?);
        }
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Reads what the origin has told, if it has.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut parts = headers.get(&SESSION)?.to_str().ok()?.split(' ');
        let mut next = || parts.next();
        let told = Self {
            account: UserId(next()?.parse().ok()?),
            session: SessionId(next()?.parse().ok()?),
            role: next()?.parse().ok()?,
            ends_at: OffsetDateTime::from_unix_timestamp(next()?.parse().ok()?).ok()?,
            as_of: match next() {
                None => None,
                Some(as_of) => Some(super::as_of_in(as_of)?),
            },
        };
        parts.next().is_none().then_some(told)
    }

    /// What ends it, or changes what is told of it.
    pub fn tags(&self) -> [Tag; 2] {
        [Tag::session(self.session), Tag::user(self.account)]
    }
}

/// What the session of a request is known by in caches; `None` if it came with no token.
pub fn session_key(headers: &HeaderMap) -> Option<String> {
    SessionToken::of(headers).map(|token| cache_key(&token.hash()))
}

/// Tells an edge whose session it has passed on.
pub(crate) async fn tell_session<S: FullStore>(
    State(site): State<Site<S>>,
    request: Request,
    next: Next,
) -> Response {
    let is_asked = request.extensions().get::<FromEdge>().is_some()
        && SessionToken::of(request.headers()).is_some();
    if !is_asked {
        return next.run(request).await;
    }
    // Before it is looked for: what ends it meanwhile is newer.
    let newest = |responses: &dyn Responses| responses.newest();
    let as_of = site.api.responses.as_deref().and_then(newest);
    let (mut parts, body) = request.into_parts();
    // Who needs it and cannot have it says so.
    let found = MaybeSigned::from_request_parts(&mut parts, &site).await;
    let told = found.ok().and_then(|MaybeSigned(session)| session);
    let told = told.and_then(|session| ToldSession::new(&session, as_of).write());
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if let Some(told) = told {
        response.headers_mut().insert(SESSION, told);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use pitchey_cache::{Epoch, Seq};
    use uuid::Uuid;

    fn told(as_of: Option<AsOf>) -> ToldSession {
        ToldSession {
            account: UserId(Uuid::from_u128(1)),
            session: SessionId(Uuid::from_u128(2)),
            role: Role::Investor,
            ends_at: OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a time"),
            as_of,
        }
    }

    #[test]
    fn what_is_told_is_read_as_it_was_meant() {
        let as_of = AsOf {
            epoch: Epoch(0xab),
            seq: Seq(7),
        };
        for as_of in [None, Some(as_of)] {
            let told = told(as_of);
            let mut headers = HeaderMap::new();
            assert_eq!(ToldSession::read(&headers), None);
            headers.insert(SESSION, told.write().expect("a field"));
            assert_eq!(ToldSession::read(&headers), Some(told));
        }
    }

    #[test]
    fn what_is_not_whole_is_nothing() {
        let whole = told(None).write().expect("a field");
        let whole = whole.to_str().expect("text");
        let short = whole.rsplit_once(' ').map_or("", |(before, _)| before);
        for wrong in [
            "",
            "x",
            short,
            &format!("{whole} x"),
            &format!("{whole} ab.7 x"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(SESSION, HeaderValue::from_str(wrong).expect("a field"));
            assert_eq!(ToldSession::read(&headers), None, "{wrong}");
        }
    }
}
