//! How often a client may ask: GCRA for each class of routes, told in `RateLimit` fields.
//!
//! What is worth the way is counted for all origins together: changes by account, and whatever checks or
//! hashes a password. While nobody can say how it stands there, each origin counts by itself.

use crate::ports::SharedLimits;
use crate::problem::{Kind, Problem, whole_seconds};
use crate::site::ClientAddress;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pitchey_model::UserId;
use pitchey_resilience::{KeyedRateLimiter, Quota, Verdict};
use pitchey_runtime::Monotonic;
use sha2::Sha256;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// How many keys each class remembers: at some 100 bytes each, ten megabytes or so.
const KEYS: usize = 100_000;

/// What routes cost, and so how often they may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// What is cheap, or cached in front: lists, details, profiles, health.
    Read,
    /// Full-text search.
    Search,
    /// What changes something.
    Write,
    /// Passwords are checked or hashed.
    Auth,
    /// Beacons.
    Beacon,
}

impl Class {
    /// The class of a route.
    pub(crate) fn of(method: &Method, route: Option<&str>) -> Self {
        let safe = matches!(
            *method,
            Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
        );
        match route {
            Some("/api/search") => Self::Search,
            _ if safe => Self::Read,
            Some("/api/auth/register" | "/api/auth/login" | "/api/auth/password") => Self::Auth,
            Some("/api/analytics/rum" | "/api/analytics/events" | "/api/pitches/{id}/view") => {
                Self::Beacon
            }
            _ => Self::Write,
        }
    }

    /// Its name in fields and figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Search => "search",
            Self::Write => "write",
            Self::Auth => "auth",
            Self::Beacon => "beacon",
        }
    }
}

/// The quota of each class; `None` is no limit.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// What is cheap, or cached in front: lists, details, profiles, health.
    pub read: Option<Quota>,
    /// Full-text search.
    pub search: Option<Quota>,
    /// What changes something.
    pub write: Option<Quota>,
    /// Where passwords are checked or hashed, for each client.
    pub auth: Option<Quota>,
    /// Where passwords are checked, for each account and client, whether the account exists or not.
    pub account: Option<Quota>,
    /// The same, for each account from all clients together.
    pub account_total: Option<Quota>,
    /// Beacons.
    pub beacon: Option<Quota>,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// An address; of IPv6 the network of 64 bits, which is what a subscriber is given.
    Address(IpAddr),
    /// Who is signed in.
    User(UserId),
    /// A hash of an e-mail address.
    Account([u8; 16]),
    /// The same, from one address.
    AccountFrom([u8; 16], Box<Key>),
}

impl Key {
    /// Of a client, or of all those whose address nobody has told.
    pub(crate) fn of(client: Option<&ClientAddress>) -> Self {
        Self::address(client.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |client| client.0))
    }

    pub(crate) fn address(ip: IpAddr) -> Self {
        Self::Address(match ip.to_canonical() {
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                IpAddr::from([a, b, c, d, 0, 0, 0, 0])
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }

    /// Adds what tells it from all others: a letter, and then so many bytes as the letter says.
    fn write(&self, mac: &mut Hmac<Sha256>) {
        match self {
            Self::Address(IpAddr::V4(ip)) => {
                mac.update(b"4");
                mac.update(&ip.octets());
            }
            Self::Address(IpAddr::V6(ip)) => {
                mac.update(b"6");
                mac.update(&ip.octets());
            }
            Self::User(id) => {
                mac.update(b"u");
                mac.update(id.0.as_bytes());
            }
            Self::Account(hash) => {
                mac.update(b"e");
                mac.update(hash);
            }
            Self::AccountFrom(hash, from) => {
                mac.update(b"f");
                mac.update(hash);
                from.write(mac);
            }
        }
    }
}

/// Counting for all origins together, under keys that tell nobody's address or account.
pub(crate) struct Together {
    port: Arc<dyn SharedLimits>,
    secret: Hmac<Sha256>,
}

impl Together {
    pub(crate) fn new(port: Arc<dyn SharedLimits>, secret: Hmac<Sha256>) -> Self {
        Self { port, secret }
    }

    fn name_of(&self, key: &Key) -> String {
        let mut mac = self.secret.clone();
        key.write(&mut mac);
        URL_SAFE_NO_PAD.encode(&mac.finalize().into_bytes()[..16])
    }
}

/// A limiter for each class that has a quota.
pub(crate) struct Limits {
    together: Option<Together>,
    read: Option<KeyedRateLimiter<Key>>,
    search: Option<KeyedRateLimiter<Key>>,
    write: Option<KeyedRateLimiter<Key>>,
    auth: Option<KeyedRateLimiter<Key>>,
    account: Option<KeyedRateLimiter<Key>>,
    account_total: Option<KeyedRateLimiter<Key>>,
    beacon: Option<KeyedRateLimiter<Key>>,
}

/// One request more, as a class counts it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    name: &'static str,
    quota: Quota,
    verdict: Verdict,
}

impl Limits {
    pub(crate) fn new(settings: &LimitSettings, together: Option<Together>) -> Self {
        let limiter = |quota: Option<Quota>| quota.map(|quota| KeyedRateLimiter::new(quota, KEYS));
        Self {
            together,
            read: limiter(settings.read),
            search: limiter(settings.search),
            write: limiter(settings.write),
            auth: limiter(settings.auth),
            account: limiter(settings.account),
            account_total: limiter(settings.account_total),
            beacon: limiter(settings.beacon),
        }
    }

    fn limiter(&self, class: Class) -> Option<&KeyedRateLimiter<Key>> {
        let limiter = match class {
            Class::Read => &self.read,
            Class::Search => &self.search,
            Class::Write => &self.write,
            Class::Auth => &self.auth,
            Class::Beacon => &self.beacon,
        };
        limiter.as_ref()
    }

    /// Counts a request of a class that each origin counts by itself; `None` where there is no limit.
    pub(crate) fn count_here(&self, class: Class, key: &Key, now: Monotonic) -> Option<Counted> {
        let limiter = self.limiter(class)?;
        Some(count(limiter, class.name(), key, now))
    }

    /// Counts a request; `None` where there is no limit.
    pub(crate) async fn count(&self, class: Class, key: &Key, now: Monotonic) -> Option<Counted> {
        let limiter = self.limiter(class)?;
        let shared = match (class, key) {
            (Class::Auth, _) | (Class::Write, Key::User(_)) => true,
            // What is cheap or refused anyway is not worth the way.
            (Class::Read | Class::Search | Class::Write | Class::Beacon, _) => false,
        };
        let counted = if shared {
            self.count_together(limiter, class.name(), key, now).await
        } else {
            count(limiter, class.name(), key, now)
        };
        Some(counted)
    }

    /// Counts for all origins, or for this one alone if nobody can say how it stands with the others.
    async fn count_together(
        &self,
        limiter: &KeyedRateLimiter<Key>,
        name: &'static str,
        key: &Key,
        now: Monotonic,
    ) -> Counted {
        let quota = limiter.quota();
        let verdict = match &self.together {
            Some(together) => {
                let key = together.name_of(key);
                together.port.count(name, quota, &key).await
            }
            None => None,
        };
        let Some(verdict) = verdict else {
            return count(limiter, name, key, now);
        };
        if verdict.allowed {
            // Should the others be lost, what was let through here is known.
            limiter.check(key, now);
        }
        Counted {
            name,
            quota,
            verdict,
        }
    }

    /// Counts a check of a password of an account, whether it exists or not: first for the client, so
    /// that one who tries too often uses up nothing of its owner's.
    pub(crate) async fn count_account(
        &self,
        account: [u8; 16],
        client: IpAddr,
        now: Monotonic,
    ) -> Result<(), Problem> {
        let own = Key::AccountFrom(account, Box::new(Key::address(client)));
        let all = Key::Account(account);
        for (limiter, name, key) in [
            (&self.account, "account", own),
            (&self.account_total, "account-total", all),
        ] {
            if let Some(limiter) = limiter {
                let counted = self.count_together(limiter, name, &key, now).await;
                counted.allowed()?;
            }
        }
        Ok(())
    }
}

fn count(
    limiter: &KeyedRateLimiter<Key>,
    name: &'static str,
    key: &Key,
    now: Monotonic,
) -> Counted {
    Counted {
        name,
        quota: limiter.quota(),
        verdict: limiter.check(key, now),
    }
}

impl Counted {
    pub(crate) fn allowed(&self) -> Result<(), Problem> {
        if self.verdict.allowed {
            return Ok(());
        }
        let detail = format!("the limit of class {} is reached", self.name);
        Err(Problem::new(Kind::TooManyRequests, detail).after(self.verdict.retry_after))
    }

    /// Tells the client where it stands.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        for (field, value) in fields(self.name, self.quota, &self.verdict) {
            headers.insert(field, value);
        }
    }
}

/// A limit by its name, and how a client stands with it (draft-ietf-httpapi-ratelimit-headers-10).
pub(crate) fn fields(
    name: &str,
    quota: Quota,
    verdict: &Verdict,
) -> [(HeaderName, HeaderValue); 2] {
    let window = whole_seconds(quota.window());
    let reset = whole_seconds(verdict.reset_after);
    let policy = format!("\"{name}\";q={};w={window}", verdict.limit);
    let state = format!("\"{name}\";r={};t={reset}", verdict.remaining);
    // Names are words of ours.
    let value = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    [
        (HeaderName::from_static("ratelimit-policy"), value(policy)),
        (HeaderName::from_static("ratelimit"), value(state)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_client_and_a_mapped_address_is_the_address() {
        let key = |text: &str| Key::address(text.parse().expect("an address"));
        assert_eq!(key("2001:db8:1:2:3::4"), key("2001:db8:1:2:ffff::"));
        assert_ne!(key("2001:db8:1:2::"), key("2001:db8:1:3::"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }
}
