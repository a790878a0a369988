//! RFC 9111, 4.2.4 and RFC 5861: serving what is stale.

use super::*;
use crate::Handling;

/// One that has a response whose lifetime of 10 ended 5 seconds ago.
fn stale(more: &str) -> Rig {
    let control = format!("max-age=10{more}");
    let mut rig = Rig::stored(&[("cache-control", &control), ("etag", "\"a\"")]);
    rig.later(15);
    rig
}

fn failed(rig: &Rig, list: Fields<'_>) -> u16 {
    let request = get(list);
    let fetch = rig.fetch(&request);
    rig.cache
        .on_failure(&request, &fetch, &rig.variants, at(rig.now))
        .status
        .as_u16()
}

#[test]
fn nothing_stale_is_served_unless_somebody_allows_it() {
    validation(stale("").get(&[]));
    assert_eq!(failed(&stale(""), &[]), 504);
}

#[test]
fn within_its_window_a_stale_response_is_served_and_renewed() {
    let mut rig = stale(", stale-while-revalidate=10");
    let request = get(&[("range", "bytes=0-1"), ("x", "1")]);
    let Decision::ServeStale { answer, revalidate } = rig.look(&request) else {
        panic!("served stale")
    };
    assert_eq!(
        (answer.status.as_u16(), text(&answer.headers, "age")),
        (206, "15")
    );
    assert_eq!(answer.cache_status.handling, Handling::Hit);
    assert_eq!(answer.cache_status.ttl, Some(-5));
    assert!(revalidate.is_conditional() && !revalidate.headers.contains_key("range"));
    assert_eq!(text(&revalidate.headers, "x"), "1");
    let outcome = rig.receive_for(&request, &revalidate, 304, &[("etag", "\"a\"")]);
    rig.apply(&outcome);
    assert!(is_hit(&rig.get(&[])));
}

#[test]
fn after_its_window_a_stale_response_is_validated() {
    let mut rig = stale(", stale-while-revalidate=10");
    assert!(matches!(rig.later(4).get(&[]), Decision::ServeStale { .. }));
    validation(rig.later(1).get(&[]));
    validation(stale(", stale-while-revalidate=0").get(&[]));
    validation(stale(", stale-while-revalidate=x").get(&[]));
}

#[test]
fn a_request_for_something_fresh_is_not_served_stale() {
    let rig = stale(", stale-while-revalidate=10");
    for control in ["no-cache", "max-age=14", "min-fresh=1"] {
        validation(rig.get(&[("cache-control", control)]));
    }
}

#[test]
fn stale_windows_do_not_override_what_the_response_forbids() {
    for forbids in [
        "must-revalidate",
        "proxy-revalidate",
        "no-cache",
        "s-maxage=10",
    ] {
        let windows = format!(", {forbids}, stale-while-revalidate=99, stale-if-error=99");
        let mut rig = stale(&windows);
        rig.cache = SharedCache::new(Options {
            stale_if_unreachable: 99,
            ..Options::default()
        });
        validation(rig.get(&[]));
        assert_eq!(failed(&rig, &[]), 504, "{forbids}");
    }
}

#[test]
fn an_option_allows_stale_windows_beside_s_maxage() {
    let mut rig = stale(", s-maxage=10, stale-while-revalidate=10");
    validation(rig.get(&[]));
    let options = Options {
        windows_beside_s_maxage: true,
        ..Options::default()
    };
    rig = Rig::with(options);
    let control = "s-maxage=10, stale-while-revalidate=10";
    rig.fill(&get(&[]), 200, &[("cache-control", control)]);
    assert!(matches!(
        rig.later(15).get(&[]),
        Decision::ServeStale { .. }
    ));
}

#[test]
fn an_error_is_hidden_by_a_stale_response_within_its_window() {
    let rig = stale(", stale-if-error=10");
    for status in [500, 502, 503, 504] {
        let outcome = rig.receive(&get(&[]), status, &[("cache-control", "max-age=9")]);
        let sent = answer(&outcome);
        assert_eq!(
            (sent.status.as_u16(), text(&sent.headers, "age")),
            (200, "15")
        );
        assert!(outcome.changes.is_empty());
        let Handling::Forward {
            status: said,
            reason,
            ..
        } = sent.cache_status.handling
        else {
            panic!("forwarded")
        };
        assert_eq!(
            (said.map(|said| said.as_u16()), reason),
            (Some(status), Reason::Stale)
        );
    }
    assert_eq!(failed(&rig, &[]), 200);
}

#[test]
fn only_errors_of_the_origin_are_hidden() {
    let rig = stale(", stale-if-error=10");
    for status in [200, 400, 403, 404, 410, 501, 505] {
        let outcome = rig.receive(&get(&[]), status, &[]);
        assert!(
            matches!(outcome.respond, Respond::Upstream { .. }),
            "{status}"
        );
    }
}

#[test]
fn after_its_window_an_error_is_not_hidden() {
    let mut rig = stale(", stale-if-error=10");
    assert_eq!(failed(rig.later(4), &[]), 200);
    assert_eq!(failed(rig.later(1), &[]), 504);
    let outcome = rig.receive(&get(&[]), 503, &[]);
    assert!(matches!(outcome.respond, Respond::Upstream { .. }));
}

#[test]
fn a_request_can_allow_to_hide_errors() {
    let rig = stale("");
    assert_eq!(failed(&rig, &[("cache-control", "stale-if-error=6")]), 200);
    assert_eq!(failed(&rig, &[("cache-control", "stale-if-error=5")]), 504);
}

#[test]
fn an_option_allows_to_serve_stale_when_the_origin_cannot_be_reached() {
    let mut rig = stale("");
    rig.cache = SharedCache::new(Options {
        stale_if_unreachable: 6,
        ..Options::default()
    });
    assert_eq!(failed(&rig, &[]), 200);
    assert_eq!(failed(rig.later(1), &[]), 504);
}

#[test]
fn what_must_be_validated_and_cannot_be_is_504() {
    assert_eq!(failed(&stale(", must-revalidate"), &[]), 504);
    assert_eq!(
        failed(
            &stale(", stale-if-error=99"),
            &[("cache-control", "no-cache")]
        ),
        504
    );
    assert_eq!(failed(&Rig::new(), &[]), 504);
}

#[test]
fn an_error_does_not_replace_what_is_stored() {
    let mut rig = stale("");
    rig.fill(&get(&[]), 503, &[]);
    assert_eq!(rig.variants.len(), 1);
}

#[test]
fn what_was_made_invalid_is_not_served_stale() {
    let mut rig = stale(", stale-while-revalidate=99, stale-if-error=99");
    rig.variants = rig.variants.into_iter().map(Stored::invalidated).collect();
    validation(rig.get(&[]));
    validation(rig.get(&[("cache-control", "max-stale")]));
    assert_eq!(failed(&rig, &[]), 504);
}
