//! Who goes first when there is more to do than can be done in time.

use http::Method;
use pitchey_resilience::Priority;

/// The routes that never wait in line with the others, whatever the method: a health check that
/// waits says that the process is ill, and whoever believes it makes things worse. Where passwords
/// are hashed there is a line already, longer than any other: who stands in it would hold a place
/// that a hundred reads could have had meanwhile.
const UNQUEUED: &[&str] = &[
    "/api/health",
    "/api/health/live",
    "/api/health/ready",
    "/api/auth/register",
    "/api/auth/login",
    "/api/auth/password",
];

/// The routes whose writes are about money: the deals that the site is for.
const MONEY: &[&str] = &[
    "/api/pitches/{id}/ndas",
    "/api/ndas/{id}/approve",
    "/api/ndas/{id}/reject",
    "/api/ndas/{id}/revoke",
    "/api/pitches/{id}/interests",
    "/api/interests/{id}/withdraw",
    "/api/interests/{id}/accept",
    "/api/interests/{id}/decline",
];

/// The routes that are told something which nobody waits to be taken in.
const BEACONS: &[&str] = &[
    "/api/pitches/{id}/view",
    "/api/analytics/rum",
    "/api/analytics/events",
];

/// How urgent a request to a route is, by its template; `None` if it does not wait in line at all.
/// A request that no route matches is like any other read.
pub fn priority_of(method: &Method, route: Option<&str>) -> Option<Priority> {
    let Some(route) = route else {
        return Some(Priority::Normal);
    };
    if UNQUEUED.contains(&route) {
        return None;
    }
    Some(match *method {
        Method::POST if MONEY.contains(&route) => Priority::Critical,
        Method::POST if BEACONS.contains(&route) => Priority::Low,
        _ => Priority::Normal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_of_the_tables_is_a_route() {
        let document = crate::openapi();
        for route in UNQUEUED.iter().chain(MONEY).chain(BEACONS) {
            assert!(document.paths.paths.contains_key(*route), "{route}");
        }
        for route in MONEY.iter().chain(BEACONS) {
            assert!(document.paths.paths[*route].post.is_some(), "{route}");
        }
    }

    #[test]
    fn writes_of_money_go_before_reads_and_those_before_beacons() {
        let of = |method, route| priority_of(&method, Some(route));
        let money = of(Method::POST, "/api/interests/{id}/accept");
        let read = of(Method::GET, "/api/pitches");
        let write = of(Method::POST, "/api/pitches");
        let beacon = of(Method::POST, "/api/analytics/rum");
        assert_eq!(money, Some(Priority::Critical));
        assert_eq!([read, write], [Some(Priority::Normal); 2]);
        assert_eq!(beacon, Some(Priority::Low));
        assert!(money < read && read < beacon);
        let unknown = priority_of(&Method::GET, None);
        assert_eq!(unknown, Some(Priority::Normal));
    }

    #[test]
    fn health_checks_and_what_hashes_passwords_do_not_wait_in_line() {
        assert_eq!(priority_of(&Method::GET, Some("/api/health/ready")), None);
        assert_eq!(priority_of(&Method::HEAD, Some("/api/health")), None);
        assert_eq!(priority_of(&Method::POST, Some("/api/auth/login")), None);
        // A trip to the database that anyone may ask for.
        let trip = priority_of(&Method::GET, Some("/api/db-test"));
        assert_eq!(trip, Some(Priority::Normal));
    }
}
