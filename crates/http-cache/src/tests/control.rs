//! RFC 9111, 5.2: the directives of requests, and those of responses that govern reuse.

use super::*;

/// One that has a response of age 5 with a lifetime of 10.
fn half_fresh(more: &str) -> Rig {
    let control = format!("max-age=10{more}");
    let mut rig = Rig::stored(&[("cache-control", &control), ("etag", "\"a\"")]);
    rig.later(5);
    rig
}

fn hits(rig: &Rig, control: &str) -> bool {
    is_hit(&rig.get(&[("cache-control", control)]))
}

#[test]
fn max_age_of_the_request_bounds_the_age() {
    let rig = half_fresh("");
    assert!(hits(&rig, "max-age=5"));
    assert!(!hits(&rig, "max-age=4"));
    assert!(!hits(&rig, "max-age=0"));
    let new = Rig::stored(&[("cache-control", "max-age=10")]);
    assert!(!hits(&new, "max-age=0"));
    assert!(!hits(&rig, "max-age=x"));
}

#[test]
fn min_fresh_of_the_request_bounds_what_is_left() {
    let rig = half_fresh("");
    assert!(hits(&rig, "min-fresh=5"));
    assert!(!hits(&rig, "min-fresh=6"));
    assert!(!hits(&rig, "min-fresh"));
}

#[test]
fn max_stale_of_the_request_allows_staleness() {
    let mut rig = half_fresh("");
    rig.later(8);
    assert!(!hits(&rig, "max-age=100"));
    assert!(hits(&rig, "max-stale=3"));
    assert!(!hits(&rig, "max-stale=2"));
    assert!(hits(&rig, "max-stale"));
    assert!(!hits(&rig, "max-stale=x"));
    let answer = served(rig.get(&[("cache-control", "max-stale")]));
    assert_eq!(answer.cache_status.ttl, Some(-3));
}

#[test]
fn max_stale_does_not_override_what_the_response_forbids() {
    for forbids in [
        "must-revalidate",
        "proxy-revalidate",
        "no-cache",
        "s-maxage=10",
    ] {
        let mut rig = half_fresh(&format!(", {forbids}"));
        rig.later(8);
        assert!(!hits(&rig, "max-stale"), "{forbids}");
    }
}

#[test]
fn no_cache_of_the_request_demands_validation() {
    let rig = half_fresh("");
    let fetch = validation(rig.get(&[("cache-control", "no-cache")]));
    assert_eq!(fetch.reason, Reason::Request);
    assert_eq!(text(&fetch.headers, "if-none-match"), "\"a\"");
}

#[test]
fn pragma_counts_where_there_is_no_cache_control() {
    let rig = half_fresh("");
    validation(rig.get(&[("pragma", "no-cache")]));
    validation(rig.get(&[("pragma", "foo, No-Cache")]));
    assert!(is_hit(&rig.get(&[
        ("pragma", "no-cache"),
        ("cache-control", "max-age=10")
    ])));
    assert!(is_hit(&rig.get(&[("pragma", "foo")])));
}

#[test]
fn pragma_in_a_response_means_nothing() {
    let rig = Rig::stored(&[("cache-control", "max-age=10"), ("pragma", "no-cache")]);
    assert!(is_hit(&rig.get(&[])));
}

#[test]
fn no_store_of_the_request_may_be_answered_from_what_is_stored() {
    assert!(hits(&half_fresh(""), "no-store"));
}

#[test]
fn only_if_cached_gets_what_is_stored_or_504() {
    let rig = half_fresh("");
    assert!(hits(&rig, "only-if-cached"));
    for (rig, control) in [
        (Rig::new(), "only-if-cached"),
        (half_fresh(""), "only-if-cached, max-age=1"),
        (half_fresh(", no-cache"), "only-if-cached"),
    ] {
        let Decision::Unsatisfied(answer) = rig.get(&[("cache-control", control)]) else {
            panic!("{control}")
        };
        assert_eq!(answer.status, 504);
    }
}

#[test]
fn only_if_cached_takes_what_is_stale_within_its_window_without_renewing_it() {
    let mut rig = half_fresh(", stale-while-revalidate=9");
    rig.later(6);
    assert!(hits(&rig, "only-if-cached"));
}

#[test]
fn requests_can_be_kept_from_steering_the_cache() {
    let mut rig = half_fresh("");
    rig.cache = SharedCache::new(Options {
        obey_requests: false,
        ..Options::default()
    });
    for control in ["no-cache", "max-age=0", "min-fresh=99"] {
        assert!(hits(&rig, control), "{control}");
    }
    assert!(is_hit(&rig.get(&[("pragma", "no-cache")])));
    rig.later(6);
    assert!(!hits(&rig, "max-stale"));
    let decision = rig.get(&[("cache-control", "only-if-cached")]);
    assert!(matches!(decision, Decision::Unsatisfied(_)));
}

#[test]
fn no_transform_is_passed_on_from_either_side() {
    let rig = half_fresh(", no-transform");
    assert!(served(rig.get(&[])).no_transform);
    let rig = half_fresh("");
    assert!(!served(rig.get(&[])).no_transform);
    assert!(served(rig.get(&[("cache-control", "no-transform")])).no_transform);
    let came = [("cache-control", "no-transform")];
    let outcome = Rig::new().receive(&get(&[]), 200, &came);
    assert!(matches!(
        outcome.respond,
        Respond::Upstream {
            no_transform: true,
            ..
        }
    ));
}

#[test]
fn no_cache_of_the_response_demands_validation_even_when_fresh() {
    let rig = half_fresh(", no-cache");
    assert_eq!(validation(rig.get(&[])).reason, Reason::Stale);
}

#[test]
fn no_cache_with_fields_keeps_only_these_out() {
    let rig = Rig::stored(&[
        ("cache-control", "max-age=10, no-cache=\"x-one\""),
        ("x-one", "1"),
        ("x-two", "2"),
    ]);
    let answer = served(rig.get(&[]));
    assert!(!answer.headers.contains_key("x-one"));
    assert_eq!(text(&answer.headers, "x-two"), "2");
}

#[test]
fn no_cache_about_a_field_that_decides_is_about_all() {
    let control = "max-age=10, no-cache=\"etag\"";
    let rig = Rig::stored(&[("cache-control", control), ("last-modified", &date(-9))]);
    validation(rig.get(&[]));
}

#[test]
fn of_directives_that_conflict_the_strictest_counts() {
    assert!(!Rig::stores(
        &[],
        200,
        &[("cache-control", "public, private, max-age=10")]
    ));
    assert!(!Rig::stores(
        &[],
        200,
        &[("cache-control", "public, no-store, max-age=10")]
    ));
    validation(half_fresh(", no-cache, public").get(&[]));
}

#[test]
fn names_of_directives_are_read_in_any_case() {
    validation(half_fresh(", No-Cache").get(&[]));
    validation(half_fresh("").get(&[("cache-control", "NO-CACHE")]));
}

#[test]
fn a_request_with_more_directives_than_are_read_is_validated() {
    let many = "a, ".repeat(crate::MAX_DIRECTIVES + 1);
    assert!(!hits(&half_fresh(""), &many));
}

#[test]
fn cache_control_of_the_request_reaches_the_origin() {
    let fetch = Rig::new().fetch(&get(&[("cache-control", "max-age=3, x=y")]));
    assert_eq!(text(&fetch.headers, "cache-control"), "max-age=3, x=y");
}

#[test]
fn warnings_are_neither_made_nor_understood() {
    let mut rig = Rig::stored(&[("cache-control", "max-age=10"), ("warning", "110 - x")]);
    let answer = served(rig.later(20).get(&[("cache-control", "max-stale")]));
    assert_eq!(text(&answer.headers, "warning"), "110 - x");
}
