//! Sessions over HTTP: the cookie, the token in it, and the token that stands in for Fetch Metadata.

use crate::cached::SessionLoad;
use crate::problem::Problem;
use crate::site::Site;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;
use http::{HeaderMap, HeaderValue, header};
use pitchey_model::SessionId;
use pitchey_runtime::Random;
use pitchey_store::FullStore;
use pitchey_store::accounts::{NewSession, Session, TokenHash};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::time::Duration;
use time::OffsetDateTime;

/// A cookie of this prefix is taken by browsers only from the host itself, for all of it, and over TLS
/// (RFC 6265bis, section 4.1.3.2).
const COOKIE: &str = "__Host-session";

/// That a session was used is written at most this often.
const TOUCH: Duration = Duration::from_mins(1);

/// The secret of a session: 256 random bits, of which only the hash is stored.
#[derive(Clone)]
pub(crate) struct SessionToken([u8; 32]);

impl std::fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionToken(…)")
    }
}

impl SessionToken {
    pub(crate) fn new(random: &(impl Random + ?Sized)) -> Self {
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        Self(bytes)
    }

    /// The one that a request came with. Two cookies of the name are none: one of them is not ours.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut found = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == COOKIE)
            .map(|(_, value)| value);
        let (Some(value), None) = (found.next(), found.next()) else {
            return None;
        };
        // 32 bytes are 43 characters: nothing longer is decoded.
        let bytes = (value.len() == 43).then(|| URL_SAFE_NO_PAD.decode(value).ok())??;
        Some(Self(bytes.try_into().ok()?))
    }

    /// What is stored of it. A secret of 256 random bits needs no salt and no slowness.
    pub(crate) fn hash(&self) -> TokenHash {
        Sha256::digest(self.0).into()
    }

    /// The cookie that carries it until the session ends in any case.
    pub(crate) fn cookie(&self, lasts: Duration) -> HeaderValue {
        let token = URL_SAFE_NO_PAD.encode(self.0);
        set_cookie(&format!("{token}; Max-Age={}", lasts.as_secs()))
    }
}

/// The cookie that takes it away.
pub(crate) fn no_cookie() -> HeaderValue {
    set_cookie("; Max-Age=0")
}

fn set_cookie(value: &str) -> HeaderValue {
    let text = format!("{COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Lax");
    let mut value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// What the session of a token is known by in caches: the hash, which is all that is kept of it anywhere.
pub fn cache_key(token: &TokenHash) -> String {
    let mut key = String::with_capacity(8 + 2 * token.len());
    key.push_str("session:");
    for byte in token {
        let _ = write!(key, "{byte:02x}");
    }
    key
}

/// The session of a request, if it came with a live one.
pub(crate) async fn find<S: FullStore>(
    site: &Site<S>,
    headers: &HeaderMap,
) -> Result<Option<Session>, Problem> {
    let Some(token) = SessionToken::of(headers) else {
        return Ok(None);
    };
    let hash = token.hash();
    match &site.api.sessions {
        None => load(site, &hash).await,
        Some(sessions) => {
            let site = site.clone();
            let loading: SessionLoad = Box::new(move || {
                let site = site.clone();
                Box::pin(async move { load(&site, &hash).await })
            });
            sessions.session(&hash, loading).await
        }
    }
}

/// The session of a token from the store; that it was used is noted now and then.
async fn load<S: FullStore>(site: &Site<S>, token: &TokenHash) -> Result<Option<Session>, Problem> {
    let now = site.now();
    let mut found = site.api.store.session(token, now).await?;
    if let Some(session) = &mut found
        && now - session.last_seen_at >= TOUCH
    {
        let idle = (now + site.shared.settings.session_idle).min(session.expires_at);
        let id = session.actor.session;
        site.api.store.touch_session(id, idle, now).await?;
        (session.last_seen_at, session.idle_expires_at) = (now, idle);
    }
    Ok(found)
}

impl<S> Site<S> {
    /// A session to be opened, and its secret.
    pub(crate) fn new_session(&self, headers: &HeaderMap) -> (NewSession, SessionToken) {
        let token = SessionToken::new(&*self.shared.random);
        let now: OffsetDateTime = self.now();
        let settings = &self.shared.settings;
        let expires_at = now + settings.session_absolute;
        let session = NewSession {
            id: SessionId(self.new_id()),
            token_hash: token.hash(),
            user_agent: crate::extract::user_agent(headers),
            idle_expires_at: (now + settings.session_idle).min(expires_at),
            expires_at,
        };
        (session, token)
    }

    /// What stands in for Fetch Metadata in old browsers: bound to the session, and useless without it.
    pub(crate) fn csrf_token(&self, session: SessionId) -> String {
        let mac = self.csrf_mac(session).finalize().into_bytes();
        URL_SAFE_NO_PAD.encode(mac)
    }

    pub(crate) fn is_csrf_token(&self, session: SessionId, token: &HeaderValue) -> bool {
        URL_SAFE_NO_PAD
            .decode(token.as_bytes())
            .is_ok_and(|mac| self.csrf_mac(session).verify_slice(&mac).is_ok())
    }

    fn csrf_mac(&self, session: SessionId) -> hmac::Hmac<Sha256> {
        let key = self.shared.csrf_key.clone();
        key.chain_update(session.0.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(cookies: &[&str]) -> Option<SessionToken> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(header::COOKIE, cookie.parse().expect("a header value"));
        }
        SessionToken::of(&headers)
    }

    #[test]
    fn a_token_comes_back_from_its_cookie_among_others() {
        let token = SessionToken([7; 32]);
        let cookie = token.cookie(Duration::from_mins(1));
        let text = cookie.to_str().expect("it is ASCII");
        assert_eq!(
            text,
            "__Host-session=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc; Max-Age=60; Path=/; Secure; HttpOnly; SameSite=Lax"
        );
        let pair = text.split(';').next().expect("a pair");
        assert_eq!(
            with(&["a=b", &format!("x=y; {pair}")]).map(|t| t.0),
            Some([7; 32])
        );
        assert!(
            with(&[pair, pair]).is_none(),
            "which of the two would it be"
        );
    }

    #[test]
    fn what_is_no_token_is_none() {
        for bad in [
            "",
            "=",
            "__Host-session",
            "__Host-session=",
            "__Host-session=abc",
            "session=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc",
        ] {
            assert!(with(&[bad]).is_none(), "{bad}");
        }
        let long = format!("__Host-session={}", "A".repeat(4000));
        assert!(with(&[&long]).is_none());
    }
}
