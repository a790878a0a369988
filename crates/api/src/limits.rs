//! How often a client may ask: GCRA for each class of routes, told in `RateLimit` fields.

use crate::problem::{Kind, Problem, whole_seconds};
use http::{HeaderMap, HeaderValue, Method};
use pitchey_model::UserId;
use pitchey_resilience::{KeyedRateLimiter, Quota, Verdict};
use pitchey_runtime::Monotonic;
use std::net::IpAddr;

/// How many keys each class remembers: at some 100 bytes each, ten megabytes or so.
const KEYS: usize = 100_000;

/// What routes cost, and so how often they may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
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

    const fn name(self) -> &'static str {
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
    pub(crate) fn address(ip: IpAddr) -> Self {
        Self::Address(match ip.to_canonical() {
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                IpAddr::from([a, b, c, d, 0, 0, 0, 0])
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// A limiter for each class that has a quota.
#[derive(Debug)]
pub(crate) struct Limits {
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
    pub(crate) fn new(settings: &LimitSettings) -> Self {
        let limiter = |quota: Option<Quota>| quota.map(|quota| KeyedRateLimiter::new(quota, KEYS));
        Self {
            read: limiter(settings.read),
            search: limiter(settings.search),
            write: limiter(settings.write),
            auth: limiter(settings.auth),
            account: limiter(settings.account),
            account_total: limiter(settings.account_total),
            beacon: limiter(settings.beacon),
        }
    }

    /// Counts a request; `None` where there is no limit.
    pub(crate) fn count(&self, class: Class, key: &Key, now: Monotonic) -> Option<Counted> {
        let limiter = match class {
            Class::Read => &self.read,
            Class::Search => &self.search,
            Class::Write => &self.write,
            Class::Auth => &self.auth,
            Class::Beacon => &self.beacon,
        };
        count(limiter.as_ref(), class.name(), key, now)
    }

    /// Counts a check of a password of an account, whether it exists or not: first for the client, so
    /// that one who tries too often uses up nothing of its owner's.
    pub(crate) fn count_account(
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
            if let Some(counted) = count(limiter.as_ref(), name, &key, now) {
                counted.allowed()?;
            }
        }
        Ok(())
    }
}

fn count(
    limiter: Option<&KeyedRateLimiter<Key>>,
    name: &'static str,
    key: &Key,
    now: Monotonic,
) -> Option<Counted> {
    limiter.map(|limiter| Counted {
        name,
        quota: limiter.quota(),
        verdict: limiter.check(key, now),
    })
}

impl Counted {
    pub(crate) fn allowed(&self) -> Result<(), Problem> {
        if self.verdict.allowed {
            return Ok(());
        }
        let detail = format!("the limit of class {} is reached", self.name);
        Err(Problem::new(Kind::TooManyRequests, detail).after(self.verdict.retry_after))
    }

    /// Tells the client where it stands (draft-ietf-httpapi-ratelimit-headers-10).
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let (name, verdict) = (self.name, &self.verdict);
        let window = whole_seconds(self.quota.window());
        let reset = whole_seconds(verdict.reset_after);
        let policy = format!("\"{name}\";q={};w={window}", verdict.limit);
        let state = format!("\"{name}\";r={};t={reset}", verdict.remaining);
        for (field, value) in [("ratelimit-policy", policy), ("ratelimit", state)] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(field, value);
            }
        }
    }
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
