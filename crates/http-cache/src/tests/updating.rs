//! RFC 9111, 3.2 and 4.3.5: the fields of stored responses are replaced by newer ones.

use http::Method;

use super::*;

const STORED: Fields<'static> = &[
    ("cache-control", "max-age=10"),
    ("etag", "\"a\""),
    ("x", "1"),
    ("x", "2"),
    ("y", "kept"),
];

fn stale() -> Rig {
    let mut rig = Rig::stored(STORED);
    rig.later(20);
    rig
}

#[test]
fn fields_of_the_newer_response_replace_those_of_the_same_name() {
    let mut rig = stale();
    let list = [
        ("etag", "\"a\""),
        ("x", "3"),
        ("z", "new"),
        ("set-cookie", "a=b"),
    ];
    rig.fill(&get(&[]), 304, &list);
    let answer = served(rig.get(&[]));
    let values: Vec<_> = answer.headers.get_all("x").iter().collect();
    assert_eq!(values, ["3"]);
    assert_eq!(text(&answer.headers, "y"), "kept");
    assert_eq!(text(&answer.headers, "z"), "new");
    assert_eq!(text(&answer.headers, "set-cookie"), "a=b");
}

#[test]
fn what_describes_the_bytes_that_are_stored_is_not_replaced() {
    let mut rig = Rig::stored(&[
        ("cache-control", "max-age=10"),
        ("etag", "\"a\""),
        ("content-encoding", "gzip"),
        ("content-type", "text/plain"),
    ]);
    let list = [
        ("etag", "\"a\""),
        ("content-encoding", "br"),
        ("content-length", "3"),
        ("content-range", "bytes 0-2/3"),
        ("content-type", "text/html"),
        ("content-md5", "x"),
    ];
    rig.later(20).fill(&get(&[]), 304, &list);
    let answer = served(rig.get(&[]));
    assert_eq!(text(&answer.headers, "content-encoding"), "gzip");
    assert_eq!(text(&answer.headers, "content-length"), "10");
    assert!(!answer.headers.contains_key("content-range"));
    assert_eq!(text(&answer.headers, "content-type"), "text/html");
    assert_eq!(text(&answer.headers, "content-md5"), "x");
}

#[test]
fn fields_of_the_connection_do_not_come_in_by_an_update() {
    let mut rig = stale();
    let list = [
        ("etag", "\"a\""),
        ("connection", "y"),
        ("y", "hop"),
        ("keep-alive", "1"),
        ("proxy-authenticate", "x"),
    ];
    rig.fill(&get(&[]), 304, &list);
    let answer = served(rig.get(&[]));
    assert_eq!(text(&answer.headers, "y"), "kept");
    assert!(!answer.headers.contains_key("keep-alive"));
    assert!(!rig.variants[0].headers().contains_key("proxy-authenticate"));
}

#[test]
fn an_update_counts_age_and_date_anew() {
    let mut rig = Rig::stored(&[
        ("cache-control", "max-age=10"),
        ("etag", "\"a\""),
        ("age", "9"),
    ]);
    rig.later(20).fill(&get(&[]), 304, &[("etag", "\"a\"")]);
    assert_eq!(
        (rig.variants[0].age(at(20)), rig.variants[0].date()),
        (0, at(20))
    );
    rig.later(20)
        .fill(&get(&[]), 304, &[("etag", "\"a\""), ("age", "4")]);
    assert_eq!(rig.variants[0].ttl(at(40)), 6);
}

#[test]
fn updating_twice_with_the_same_is_updating_once() {
    let mut rig = stale();
    let list = [
        ("etag", "\"a\""),
        ("x", "3"),
        ("x", "4"),
        ("age", "2"),
        ("connection", "y"),
    ];
    let outcome = rig.receive(&get(&[]), 304, &list);
    rig.apply(&outcome);
    let once = rig.variants.clone();
    let fetch = validation(rig.get(&[("cache-control", "no-cache")]));
    let outcome = rig.receive_for(&get(&[]), &fetch, 304, &list);
    rig.apply(&outcome);
    assert_eq!(rig.variants, once);
}

fn head(rig: &mut Rig, list: Fields<'_>) {
    let request = with_method(Method::HEAD, &[("cache-control", "no-cache")]);
    rig.fill(&request, 200, list);
}

#[test]
fn head_updates_what_is_stored_for_get() {
    let mut rig = stale();
    let list = [
        ("etag", "\"a\""),
        ("content-length", "10"),
        ("x", "head"),
        ("cache-control", "max-age=30"),
    ];
    head(&mut rig, &list);
    let answer = served(rig.later(29).get(&[]));
    assert_eq!(
        (text(&answer.headers, "x"), text(&answer.headers, "y")),
        ("head", "kept")
    );
}

#[test]
fn head_that_shows_a_change_makes_what_is_stored_stale() {
    for list in [
        &[("etag", "\"b\"")][..],
        &[("content-length", "11")],
        &[
            ("etag", "\"a\""),
            ("last-modified", "Sun, 09 Sep 2001 01:46:40 GMT"),
        ],
    ] {
        let mut rig = Rig::stored(STORED);
        head(&mut rig, list);
        validation(rig.get(&[]));
        validation(rig.get(&[("cache-control", "max-stale")]));
    }
}

#[test]
fn head_that_failed_changes_nothing() {
    for status in [404, 500, 503] {
        let mut rig = Rig::stored(STORED);
        let request = with_method(Method::HEAD, &[("cache-control", "no-cache")]);
        rig.fill(&request, status, &[("etag", "\"b\"")]);
        assert!(is_hit(&rig.get(&[])), "{status}");
    }
}

#[test]
fn head_says_nothing_about_other_variants() {
    let mut rig = Rig::new();
    let list = [
        ("cache-control", "max-age=10"),
        ("vary", "foo"),
        ("etag", "\"a\""),
    ];
    rig.fill(&get(&[("foo", "1")]), 200, &list);
    rig.fill(&get(&[("foo", "2")]), 200, &list);
    let request = with_method(Method::HEAD, &[("foo", "1"), ("cache-control", "no-cache")]);
    rig.fill(&request, 200, &[("etag", "\"b\"")]);
    assert!(!is_hit(&rig.get(&[("foo", "1")])));
    assert!(is_hit(&rig.get(&[("foo", "2")])));
}

#[test]
fn head_that_forbids_storing_is_heeded() {
    let mut rig = stale();
    head(
        &mut rig,
        &[("etag", "\"a\""), ("cache-control", "no-store")],
    );
    assert!(rig.variants.is_empty());
}

#[test]
fn head_makes_what_is_invalid_good_only_by_its_entity_tag() {
    for (list, good) in [(&[("x", "1")][..], false), (&[("etag", "\"a\"")], true)] {
        let mut rig = Rig::stored(STORED);
        rig.variants = rig.variants.into_iter().map(Stored::invalidated).collect();
        head(&mut rig, list);
        assert_eq!(is_hit(&rig.get(&[])), good, "{list:?}");
    }
}
