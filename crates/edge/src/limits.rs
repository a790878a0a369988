//! How often a client may ask the edge of Pitchey: GCRA for each class of routes, by address.
//!
//! It is what keeps one client from taking all that an edge can do. What an account may do is for the
//! origins to count, who know it.

use std::net::IpAddr;

use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, Response, StatusCode};
use pitchey_api::RouteClass;
use pitchey_api::edge::{class_of, limit_fields, retry_after};
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

/// A limiter for each class that has a limit.
#[derive(Debug)]
pub struct Limits(Vec<(RouteClass, KeyedRateLimiter<IpAddr>)>);

/// A request, as its class counts it.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    class: RouteClass,
    quota: Quota,
    verdict: Verdict,
}

impl Limits {
    /// Limits that know so many clients in each class, `None` if there are none.
    pub fn new(clients: usize, rates: &Rates) -> Option<Self> {
        let limits = [
            (RouteClass::Read, rates.read),
            (RouteClass::Search, rates.search),
            (RouteClass::Write, rates.write),
            (RouteClass::Auth, rates.auth),
            (RouteClass::Beacon, rates.beacon),
        ];
        let limiters = limits.into_iter().filter_map(|(class, limit)| {
            let quota = limit.quota().filter(|_| clients > 0)?;
            Some((class, KeyedRateLimiter::new(quota, clients)))
        });
        let limiters: Vec<_> = limiters.collect();
        (!limiters.is_empty()).then_some(Self(limiters))
    }

    /// Counts a request of a client; `None` where there is no limit.
    pub fn count(
        &self,
        method: &Method,
        path: &str,
        client: IpAddr,
        now: Monotonic,
    ) -> Option<Counted> {
        let class = class(method, path);
        let (_, limiter) = self.0.iter().find(|(known, _)| *known == class)?;
        Some(Counted {
            class,
            quota: limiter.quota(),
            verdict: limiter.check(&subscriber(client), now),
        })
    }
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

    fn limits(clients: usize) -> Option<Limits> {
        let rates = Rates {
            read: "4 then 1/s".parse().expect("a limit"),
            auth: "1 then 1/h".parse().expect("a limit"),
            search: Limit::OFF,
            ..Rates::default()
        };
        Limits::new(clients, &rates)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_client_has_each_class_and_is_told_when_it_is_half_spent() {
        let limits = limits(100).expect("there are some");
        let now = Monotonic::START;
        let read = |client: &str| {
            let counted = limits.count(&Method::GET, "/api/pitches", address(client), now);
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
        let search = limits.count(&Method::GET, "/api/search", address("192.0.2.1"), now);
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
            let counted = limits.count(&Method::POST, path, address("192.0.2.1"), now);
            let is_refused = counted.is_some_and(|counted| counted.is_refused());
            assert_eq!(is_refused, n > 0, "{path}");
        }
    }

    #[test]
    fn all_of_it_can_be_switched_off() {
        assert!(limits(0).is_none());
    }
}
