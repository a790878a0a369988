//! How often a client may ask the edge of Pitchey: GCRA for each class of routes, by address, or by account where
//! the edge knows whom it serves.
//!
//! It is what keeps one client from taking all that an edge can do. Behind one address there may be many: those
//! who are signed in are counted one by one, and together by their address, which then has more. So a company is
//! no single client, and who opens many accounts has not as many times as much. Who comes with a session that is
//! not known yet is let through where the address has used up its own, as often as passwords may be tried there:
//! else nobody would ever be known in a crowd. Where passwords are checked the address alone counts. What an account
//! may change is for the origins to count.

use std::net::IpAddr;
use std::num::NonZeroU32;

use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, Response, StatusCode};
use pitchey_api::RouteClass;
use pitchey_api::edge::{class_of, limit_fields, retry_after};
use pitchey_model::UserId;
use pitchey_resilience::limit::{Limit, Unit};
use pitchey_resilience::{KeyedRateLimiter, Quota, Verdict};
use pitchey_runtime::Monotonic;

use crate::body::Body;
use crate::platform::Platform;
use crate::proxy::refusal;
use crate::site::normal_path;

/// How often a client may ask in each class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// What is cheap, or kept: lists, details, profiles, pages.
    pub read: Limit,
    /// Full-text search.
    pub search: Limit,
    /// What changes something.
    pub write: Limit,
    /// Where passwords are checked or hashed.
    pub auth: Limit,
    /// Beacons.
    pub beacon: Limit,
}

impl Default for Rates {
    /// Several times what the origins allow: many may come from one address.
    fn default() -> Self {
        Self {
            read: Limit::new(5_000, 1_000, Unit::Second),
            search: Limit::new(1_000, 100, Unit::Second),
            write: Limit::new(1_000, 100, Unit::Second),
            auth: Limit::new(200, 200, Unit::Minute),
            beacon: Limit::new(1_000, 200, Unit::Second),
        }
    }
}

/// The class of a request, by its path in one spelling, so that none is of another.
pub fn class(method: &Method, path: &str) -> RouteClass {
    let normal = path.contains('%').then(|| normal_path(path)).flatten();
    class_of(method, normal.as_deref().unwrap_or(path))
}

/// How many clients are known, and how much those have together who are signed in at one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clients {
    /// How many are known in each class; 0 switches limits off.
    pub known: usize,
    /// How many times what one client has; 0 counts by address alone.
    pub crowd: u32,
}

/// The most for [`Clients::crowd`].
pub const MOST_CROWD: u32 = 1_000;

/// Limiters for each class that has a limit.
#[derive(Debug)]
pub struct Limits {
    classes: Vec<Limiters>,
    /// Sessions that are not known yet, by address.
    newcomers: Option<KeyedRateLimiter<IpAddr>>,
}

/// Who asks, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody is signed in.
    Nobody,
    /// There is a session, and it is not known whose.
    Newcomer,
    /// This account.
    Account(UserId),
}

#[derive(Debug)]
struct Limiters {
    class: RouteClass,
    clients: KeyedRateLimiter<Subject>,
    /// Of those who are signed in, by address.
    crowds: Option<KeyedRateLimiter<IpAddr>>,
}

/// Who is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Address(IpAddr),
    Account(UserId),
}

/// A request, as its class counts it.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    class: RouteClass,
    quota: Quota,
    verdict: Verdict,
}

impl Limits {
    /// Limits that know so many clients in each class, `None` if there are none.
    pub fn new(clients: Clients, rates: &Rates) -> Option<Self> {
        let limits = [
            (RouteClass::Read, rates.read),
            (RouteClass::Search, rates.search),
            (RouteClass::Write, rates.write),
            (RouteClass::Auth, rates.auth),
            (RouteClass::Beacon, rates.beacon),
        ];
        let Clients { known, crowd } = clients;
        let limiters = limits.into_iter().filter_map(|(class, limit)| {
            let quota = limit.quota().filter(|_| known > 0)?;
            let crowd = NonZeroU32::new(crowd).filter(|_| class != RouteClass::Auth);
            Some(Limiters {
                class,
                clients: KeyedRateLimiter::new(quota, known),
                crowds: crowd.map(|crowd| KeyedRateLimiter::new(times(quota, crowd), known)),
            })
        });
        let limiters: Vec<_> = limiters.collect();
        let newcomers = rates.auth.quota().filter(|_| crowd > 0);
        (!limiters.is_empty()).then_some(Self {
            classes: limiters,
            newcomers: newcomers.map(|quota| KeyedRateLimiter::new(quota, known)),
        })
    }

    /// Whether it makes a difference who is signed in.
    pub fn tell_accounts_apart(&self) -> bool {
        self.classes
            .iter()
            .any(|limiters| limiters.crowds.is_some())
    }

    /// Counts a request; `None` where there is no limit.
    pub fn count(
        &self,
        method: &Method,
        path: &str,
        (client, who): (IpAddr, Who),
        now: Monotonic,
    ) -> Option<Counted> {
        let class = class(method, path);
        let mut classes = self.classes.iter();
        let limiters = classes.find(|limiters| limiters.class == class)?;
        let address = subscriber(client);
        let counted = |quota, verdict| Counted {
            class,
            quota,
            verdict,
        };
        let clients = &limiters.clients;
        let of = |subject| counted(clients.quota(), clients.check(&subject, now));
        match (who, &limiters.crowds) {
            (Who::Account(account), Some(crowds)) => {
                let own = of(Subject::Account(account));
                if own.is_refused() {
                    return Some(own);
                }
                let all = counted(crowds.quota(), crowds.check(&address, now));
                Some(if all.is_refused() { all } else { own })
            }
            (Who::Newcomer, Some(_)) => {
                let own = of(Subject::Address(address));
                let newcomers = self.newcomers.as_ref().filter(|_| own.is_refused());
                let is_let_in = newcomers.is_some_and(|all| all.check(&address, now).allowed);
                (!is_let_in).then_some(own)
            }
            _ => Some(of(Subject::Address(address))),
        }
    }
}

/// So many times a quota.
fn times(quota: Quota, crowd: NonZeroU32) -> Quota {
    let burst = NonZeroU32::new(quota.burst()).unwrap_or(NonZeroU32::MIN);
    Quota::new(burst.saturating_mul(crowd), quota.interval() / crowd.get())
}

impl Counted {
    /// Whether somebody asks too often.
    pub fn is_refused(&self) -> bool {
        !self.verdict.allowed
    }

    /// The answer to one who asks too often.
    pub fn refused<P: Platform>(&self) -> Option<Response<Body<P>>> {
        if !self.is_refused() {
            return None;
        }
        let class = self.class.name();
        let text = format!("The edge's limit of class {class} is reached.");
        let mut response = refusal(StatusCode::TOO_MANY_REQUESTS, &text);
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, retry_after(&self.verdict));
        self.write(headers);
        Some(response)
    }

    /// Tells a client where it stands once half of its burst is gone. The origin may have told of its own
    /// limits; these are others.
    pub fn tell(&self, headers: &mut HeaderMap) {
        if self.verdict.remaining < self.verdict.limit.div_ceil(2) {
            self.write(headers);
        }
    }

    fn write(&self, headers: &mut HeaderMap) {
        let name = ["edge-", self.class.name()].concat();
        for (name, value) in limit_fields(&name, self.quota, &self.verdict) {
            headers.append(name, value);
        }
    }
}

/// Whose address it is: of IPv6 a subscriber is given a network of 64 bits.
pub fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn limits(known: usize) -> Option<Limits> {
        let rates = Rates {
            read: "4 then 1/s".parse().expect("a limit"),
            auth: "1 then 1/h".parse().expect("a limit"),
            search: Limit::OFF,
            ..Rates::default()
        };
        Limits::new(Clients { known, crowd: 2 }, &rates)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_client_has_each_class_and_is_told_when_it_is_half_spent() {
        let limits = limits(100).expect("there are some");
        let now = Monotonic::START;
        let read = |client: &str| {
            let counted = limits.count(
                &Method::GET,
                "/api/pitches",
                (address(client), Who::Nobody),
                now,
            );
            let counted = counted.expect("there is a limit");
            let mut headers = HeaderMap::new();
            counted.tell(&mut headers);
            let told = headers
                .get("ratelimit")
                .map(|value| value.to_str().expect("text").to_owned());
            (counted.is_refused(), told)
        };
        let told = |text: &str| Some(text.to_owned());
        assert_eq!(read("2001:db8:1:2::3"), (false, None));
        assert_eq!(read("2001:db8:1:2::4"), (false, None));
        assert_eq!(
            read("2001:db8:1:2::5"),
            (false, told("\"edge-read\";r=1;t=3"))
        );
        assert_eq!(
            read("2001:db8:1:2:9::"),
            (false, told("\"edge-read\";r=0;t=4"))
        );
        let refused = (true, told("\"edge-read\";r=0;t=4"));
        assert_eq!(read("2001:db8:1:2::3"), refused);
        assert_eq!(read("2001:db8:1:3::3"), (false, None));
        assert_eq!(read("::ffff:192.0.2.1"), (false, None));
        assert_eq!(read("192.0.2.1"), (false, None));
        assert!(!read("192.0.2.1").0);
        let search = limits.count(
            &Method::GET,
            "/api/search",
            (address("192.0.2.1"), Who::Nobody),
            now,
        );
        assert!(search.is_none());
    }

    #[test]
    fn no_spelling_is_of_another_class() {
        let limits = limits(100).expect("there are some");
        let now = Monotonic::START;
        for (n, path) in [
            "/api/auth/login",
            "/api/auth/%6cogin",
            "/%61pi/auth/logi%6E",
        ]
        .into_iter()
        .enumerate()
        {
            let counted = limits.count(
                &Method::POST,
                path,
                (address("192.0.2.1"), Who::Nobody),
                now,
            );
            let is_refused = counted.is_some_and(|counted| counted.is_refused());
            assert_eq!(is_refused, n > 0, "{path}");
        }
    }

    #[test]
    fn who_is_signed_in_is_counted_one_by_one_and_an_address_has_no_more_than_its_crowd() {
        let limits = limits(100).expect("there are some");
        let count = |path: &str, from: &str, who: Who| {
            let is_auth = path.contains("auth");
            let method = if is_auth { Method::POST } else { Method::GET };
            let client = (address(from), who);
            let counted = limits.count(&method, path, client, Monotonic::START);
            counted.is_none_or(|counted| !counted.is_refused())
        };
        let reads = |from, who| (0..5).filter(|_| count("/api/pitches", from, who)).count();
        let account = |number| Who::Account(UserId(Uuid::from_u128(number)));
        // Each has its own, whoever else has used up theirs there.
        assert_eq!(reads("192.0.2.1", Who::Nobody), 4);
        assert_eq!(reads("192.0.2.1", account(1)), 4);
        assert_eq!(reads("192.0.2.1", account(2)), 4);
        // A third account of that address finds nothing left, and has it elsewhere.
        assert_eq!(reads("192.0.2.1", account(3)), 0);
        assert_eq!(reads("192.0.2.2", account(4)), 4);
        // Who is not known yet comes in as often as they may try passwords.
        assert_eq!(reads("192.0.2.1", Who::Newcomer), 1);
        assert_eq!(reads("192.0.2.5", Who::Newcomer), 5);
        // Where an account asks from makes no difference to it.
        assert_eq!(reads("192.0.2.3", account(1)), 0);
        // Passwords are tried from addresses.
        assert!(count("/api/auth/login", "192.0.2.1", account(1)));
        assert!(!count("/api/auth/login", "192.0.2.1", account(2)));
    }

    #[test]
    fn all_of_it_can_be_switched_off() {
        assert!(limits(0).is_none());
    }
}
