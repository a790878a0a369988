//! RFC 9111, 2 and 4.1: keys, and several responses for one key.

use http::Method;

use super::*;
use crate::{Key, Refusal};

fn key(uri: &str) -> String {
    Key::of(&uri.parse().expect("a URI")).as_str().to_owned()
}

#[test]
fn the_key_is_the_target_uri_in_one_spelling() {
    assert_eq!(
        key("HTTPS://Example.ORG:443/A?b"),
        "https://example.org/A?b"
    );
    assert_eq!(key("http://example.org:80"), "http://example.org/");
    assert_eq!(key("http://example.org?x"), "http://example.org/?x");
    assert_eq!(key("http://example.org:8080/"), "http://example.org:8080/");
    assert_ne!(key("http://example.org/a"), key("https://example.org/a"));
    assert_ne!(key("http://example.org/a"), key("http://example.org/A"));
    assert_ne!(
        key("http://example.org/a?x=1&y"),
        key("http://example.org/a?y&x=1")
    );
}

#[test]
fn a_stored_get_answers_head_without_body() {
    let rig = Rig::stored(&[("cache-control", "max-age=10"), ("x", "1")]);
    let answer = served(rig.look(&with_method(Method::HEAD, &[])));
    assert_eq!(
        (answer.status.as_u16(), &answer.body),
        (200, &crate::Body::Empty)
    );
    assert_eq!(text(&answer.headers, "content-length"), "10");
    assert_eq!(text(&answer.headers, "x"), "1");
}

#[test]
fn methods_are_case_sensitive() {
    let rig = Rig::stored(&[("cache-control", "max-age=10")]);
    let method = Method::from_bytes(b"get").expect("a method");
    assert_eq!(
        forwarded(&rig.look(&with_method(method, &[]))),
        Some(Reason::Method)
    );
}

#[test]
fn methods_that_may_change_something_are_forwarded() {
    let rig = Rig::stored(&[("cache-control", "max-age=10")]);
    for method in [
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
    ] {
        assert_eq!(
            forwarded(&rig.look(&with_method(method, &[]))),
            Some(Reason::Method)
        );
    }
}

#[test]
fn a_variant_is_served_only_to_requests_like_the_one_it_was_stored_for() {
    let mut rig = Rig::new();
    let list = [("cache-control", "max-age=10"), ("vary", "Foo, bar")];
    rig.fill(&get(&[("foo", "1"), ("bar", "a")]), 200, &list);
    assert!(is_hit(&rig.get(&[
        ("bar", "a"),
        ("FOO", "1"),
        ("baz", "x")
    ])));
    for other in [
        &[("foo", "2"), ("bar", "a")][..],
        &[("foo", "1")],
        &[("foo", "1"), ("bar", "A")],
    ] {
        assert_eq!(
            forwarded(&rig.get(other)),
            Some(Reason::VaryMiss),
            "{other:?}"
        );
    }
    assert_eq!(forwarded(&Rig::new().get(&[])), Some(Reason::UriMiss));
}

#[test]
fn a_field_that_is_missing_matches_only_one_that_is_missing() {
    let mut rig = Rig::new();
    rig.fill(
        &get(&[]),
        200,
        &[("cache-control", "max-age=10"), ("vary", "foo")],
    );
    assert!(is_hit(&rig.get(&[])));
    assert!(!is_hit(&rig.get(&[("foo", "")])));
}

#[test]
fn vary_in_several_lines_is_one_list() {
    let mut rig = Rig::new();
    let list = [
        ("cache-control", "max-age=10"),
        ("vary", ", foo ,"),
        ("vary", "bar"),
    ];
    rig.fill(&get(&[("foo", "1"), ("bar", "2")]), 200, &list);
    assert!(!is_hit(&rig.get(&[("foo", "1")])));
    assert!(!is_hit(&rig.get(&[("bar", "2")])));
    assert!(is_hit(&rig.get(&[("foo", "1"), ("bar", "2")])));
}

#[test]
fn vary_on_everything_is_never_stored() {
    for vary in ["*", "foo, *", "*, foo", "fo o", "(x)"] {
        let list = [
            ("cache-control", "max-age=10"),
            ("vary", vary),
            ("etag", "\"a\""),
        ];
        assert!(!Rig::stores(&[], 200, &list), "{vary}");
    }
}

#[test]
fn vary_on_too_many_fields_is_not_stored() {
    let many = (0..40)
        .map(|number| format!("x-{number}"))
        .collect::<Vec<_>>()
        .join(",");
    let outcome = Rig::new().receive(
        &get(&[]),
        200,
        &[("cache-control", "max-age=10"), ("vary", &many)],
    );
    assert_eq!(outcome.refusal, Some(Refusal::Vary));
}

/// Whether what was stored for one value of a field is served for another.
fn same(name: &str, one: Fields<'_>, other: Fields<'_>) -> bool {
    let mut rig = Rig::new();
    rig.fill(
        &get(one),
        200,
        &[("cache-control", "max-age=10"), ("vary", name)],
    );
    is_hit(&rig.get(other))
}

#[test]
fn request_fields_that_mean_the_same_select_the_same() {
    let ae = "accept-encoding";
    assert!(same(ae, &[(ae, "gzip, br")], &[(ae, "BR,gzip;q=1.0")]));
    assert!(same(
        ae,
        &[(ae, "gzip;q=0.50, br")],
        &[(ae, "br"), (ae, "gzip ; q=0.5")]
    ));
    assert!(!same(ae, &[(ae, "gzip")], &[(ae, "gzip;q=0")]));
    assert!(same(
        "accept-language",
        &[("accept-language", "en, de")],
        &[("accept-language", "EN,de")]
    ));
    assert!(!same(
        "accept-language",
        &[("accept-language", "en, de")],
        &[("accept-language", "de,en")]
    ));
    assert!(same(
        "foo",
        &[("foo", " 1, 2 ")],
        &[("foo", "1"), ("foo", "2")]
    ));
    assert!(!same("foo", &[("foo", "1,2")], &[("foo", "2,1")]));
    assert!(!same(
        "accept",
        &[("accept", "a/b;x=\"A\"")],
        &[("accept", "a/b;x=\"a\"")]
    ));
}

#[test]
fn several_variants_are_kept_for_one_key() {
    let mut rig = Rig::new();
    for language in ["en", "de", "fr"] {
        let list = [
            ("cache-control", "max-age=10"),
            ("vary", "accept-language"),
            ("content-language", language),
        ];
        rig.fill(&get(&[("accept-language", language)]), 200, &list);
    }
    for language in ["en", "de", "fr"] {
        let answer = served(rig.get(&[("accept-language", language)]));
        assert_eq!(text(&answer.headers, "content-language"), language);
    }
}

#[test]
fn a_new_response_takes_the_place_of_the_one_for_the_same_request_fields() {
    let mut rig = Rig::new();
    let list = [("cache-control", "max-age=10"), ("vary", "foo")];
    for _ in 0..3 {
        rig.fill(&get(&[("foo", "1")]), 200, &list);
        rig.fill(&get(&[("foo", "2")]), 200, &list);
        rig.later(10);
    }
    assert_eq!(rig.variants.len(), 2);
}

#[test]
fn the_most_recent_of_those_that_match_is_served() {
    let mut rig = Rig::new();
    for (number, seconds) in [("1", -3), ("2", -1), ("3", -2)] {
        let list = [
            ("cache-control", "max-age=99"),
            ("x", number),
            ("date", &date(seconds)),
            ("vary", "foo"),
        ];
        let mut other = Rig::new();
        other.fill(&get(&[("foo", "1")]), 200, &list);
        rig.variants.append(&mut other.variants);
    }
    assert_eq!(text(&served(rig.get(&[("foo", "1")])).headers, "x"), "2");
}

#[test]
fn a_variant_goes_before_a_response_that_leaves_vary_out() {
    let mut rig = Rig::new();
    let list = [
        ("cache-control", "max-age=99"),
        ("x", "variant"),
        ("vary", "foo"),
    ];
    rig.fill(&get(&[("foo", "1")]), 200, &list);
    rig.later(1).fill(
        &get(&[("foo", "2")]),
        200,
        &[("cache-control", "max-age=99"), ("x", "any")],
    );
    assert_eq!(
        text(&served(rig.get(&[("foo", "1")])).headers, "x"),
        "variant"
    );
    assert_eq!(text(&served(rig.get(&[("foo", "3")])).headers, "x"), "any");
}

#[test]
fn there_are_no_more_variants_than_the_options_allow() {
    let mut rig = Rig::with(Options {
        max_variants: 4,
        ..Options::default()
    });
    for number in 0..10 {
        let value = number.to_string();
        let list = [("cache-control", "max-age=99"), ("vary", "foo")];
        rig.later(1).fill(&get(&[("foo", &value)]), 200, &list);
        assert!(rig.variants.len() <= 4);
    }
    assert!(is_hit(&rig.get(&[("foo", "9")])) && !is_hit(&rig.get(&[("foo", "1")])));
}

#[test]
fn a_field_that_the_origin_did_not_see_selects_nothing() {
    let mut rig = Rig::new();
    let hidden = get(&[("accept-language", "de"), ("connection", "accept-language")]);
    rig.fill(
        &hidden,
        200,
        &[("cache-control", "max-age=10"), ("vary", "accept-language")],
    );
    assert!(!is_hit(&rig.get(&[("accept-language", "de")])));
    assert!(is_hit(&rig.get(&[])));
}
