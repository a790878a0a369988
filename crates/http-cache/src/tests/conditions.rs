//! RFC 9110, 13 and RFC 9111, 4.3.2: conditions that clients send, evaluated by the cache.

use super::*;
use crate::Body;

const DATED: i64 = -100;

fn rig(validators: Fields<'_>) -> Rig {
    let mut all = vec![("cache-control", "max-age=1000")];
    all.extend_from_slice(validators);
    Rig::stored(&all)
}

fn status(rig: &Rig, list: Fields<'_>) -> u16 {
    served(rig.get(list)).status.as_u16()
}

#[test]
fn if_none_match_compares_weakly() {
    for (stored, asked) in [
        ("\"a\"", "\"a\""),
        ("W/\"a\"", "\"a\""),
        ("\"a\"", "W/\"a\""),
    ] {
        let rig = rig(&[("etag", stored)]);
        assert_eq!(status(&rig, &[("if-none-match", asked)]), 304);
        assert_eq!(status(&rig, &[("if-none-match", "\"b\"")]), 200);
    }
}

#[test]
fn if_none_match_is_a_list_in_any_number_of_lines() {
    let rig = rig(&[("etag", "\"a,\\\"")]);
    assert_eq!(
        status(&rig, &[("if-none-match", "\"x\", W/\"y\" ,, \"a,\\\"")]),
        304
    );
    assert_eq!(
        status(
            &rig,
            &[("if-none-match", "\"x\""), ("if-none-match", "\"a,\\\"")]
        ),
        304
    );
    assert_eq!(status(&rig, &[("if-none-match", "\"x\"\"a,\\\"")]), 200);
    assert_eq!(status(&rig, &[("if-none-match", "a")]), 200);
}

#[test]
fn a_star_matches_whatever_is_stored() {
    assert_eq!(status(&rig(&[]), &[("if-none-match", "*")]), 304);
}

#[test]
fn if_none_match_goes_before_if_modified_since() {
    let modified = date(DATED);
    let rig = rig(&[("etag", "\"a\""), ("last-modified", &modified)]);
    let list = [
        ("if-none-match", "\"b\""),
        ("if-modified-since", modified.as_str()),
    ];
    assert_eq!(status(&rig, &list), 200);
    let list = [
        ("if-none-match", "\"a\""),
        ("if-modified-since", &date(DATED - 1)),
    ];
    assert_eq!(status(&rig, &list), 304);
}

#[test]
fn if_modified_since_compares_with_the_date_of_modification() {
    let modified = date(DATED);
    let rig = rig(&[("last-modified", &modified)]);
    assert_eq!(status(&rig, &[("if-modified-since", &date(DATED))]), 304);
    assert_eq!(
        status(&rig, &[("if-modified-since", &date(DATED + 1))]),
        304
    );
    assert_eq!(
        status(&rig, &[("if-modified-since", &date(DATED - 1))]),
        200
    );
}

#[test]
fn if_modified_since_compares_with_the_date_if_there_is_none_of_modification() {
    let rig = rig(&[("date", &date(-5))]);
    assert_eq!(status(&rig, &[("if-modified-since", &date(-5))]), 304);
    assert_eq!(status(&rig, &[("if-modified-since", &date(-6))]), 200);
}

#[test]
fn if_modified_since_that_is_no_date_is_ignored() {
    let modified = date(DATED);
    let rig = rig(&[("last-modified", &modified)]);
    assert_eq!(status(&rig, &[("if-modified-since", "yesterday")]), 200);
    let twice = [
        ("if-modified-since", modified.as_str()),
        ("if-modified-since", &date(0)),
    ];
    assert_eq!(status(&rig, &twice), 200);
}

#[test]
fn conditions_are_for_the_origin_where_the_cache_cannot_judge() {
    let rig = rig(&[("etag", "\"a\"")]);
    for condition in [("if-match", "\"a\""), ("if-unmodified-since", &date(0))] {
        assert_eq!(forwarded(&rig.get(&[condition])), Some(Reason::Bypass));
    }
    let cached = [("if-match", "\"a\""), ("cache-control", "only-if-cached")];
    assert!(matches!(rig.get(&cached), Decision::Unsatisfied(_)));
}

#[test]
fn conditions_mean_nothing_if_the_response_is_no_success() {
    let mut rig = Rig::new();
    rig.fill(
        &get(&[]),
        404,
        &[("cache-control", "max-age=10"), ("etag", "\"a\"")],
    );
    assert_eq!(status(&rig, &[("if-none-match", "\"a\"")]), 404);
    assert_eq!(status(&rig, &[("if-none-match", "*")]), 404);
    assert_eq!(status(&rig, &[("range", "bytes=0-1")]), 404);
}

#[test]
fn conditions_go_before_ranges() {
    let rig = rig(&[("etag", "\"a\"")]);
    assert_eq!(
        status(&rig, &[("if-none-match", "\"a\""), ("range", "bytes=0-1")]),
        304
    );
    assert_eq!(
        status(&rig, &[("if-none-match", "\"b\""), ("range", "bytes=0-1")]),
        206
    );
}

#[test]
fn conditions_are_not_evaluated_before_the_response_may_be_used() {
    let mut rig = rig(&[("etag", "\"a\"")]);
    validation(rig.later(1000).get(&[("if-none-match", "\"a\"")]));
}

#[test]
fn a_304_has_the_fields_that_caches_behind_need() {
    let modified = date(DATED);
    let rig = rig(&[
        ("etag", "\"a\""),
        ("last-modified", &modified),
        ("content-location", "/x"),
        ("expires", &date(9)),
        ("vary", "foo"),
        ("cdn-cache-control", "max-age=999"),
        ("content-type", "text/plain"),
        ("x", "1"),
    ]);
    let answer = served(rig.get(&[("if-none-match", "\"a\"")]));
    let names = [
        "cache-control",
        "content-location",
        "date",
        "etag",
        "expires",
        "vary",
        "age",
    ];
    for name in names.into_iter().chain(["cdn-cache-control"]) {
        assert!(answer.headers.contains_key(name), "{name}");
    }
    for name in ["content-type", "last-modified", "x", "content-length"] {
        assert!(!answer.headers.contains_key(name), "{name}");
    }
    assert_eq!(answer.body, Body::Empty);
}

#[test]
fn a_304_without_entity_tag_has_the_date_of_modification() {
    let modified = date(DATED);
    let rig = rig(&[("last-modified", &modified)]);
    let answer = served(rig.get(&[("if-modified-since", &modified)]));
    assert_eq!(text(&answer.headers, "last-modified"), modified);
}

#[test]
fn methods_that_read_nothing_are_not_tested() {
    let rig = rig(&[("etag", "\"a\"")]);
    let request = with_method(http::Method::POST, &[("if-none-match", "\"a\"")]);
    let Decision::Forward(fetch) = rig.look(&request) else {
        panic!("forwarded")
    };
    assert_eq!(text(&fetch.headers, "if-none-match"), "\"a\"");
}
