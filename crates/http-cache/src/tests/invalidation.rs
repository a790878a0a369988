//! RFC 9111, 4.4: what unsafe requests make invalid.

use http::Method;

use super::*;

fn keys(method: &str, status: u16, list: Fields<'_>) -> Vec<String> {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let outcome = Rig::new().receive(&with_method(method, &[]), status, list);
    outcome.invalidate.iter().map(ToString::to_string).collect()
}

const TARGET: &str = "https://example.org/a/b?c";

#[test]
fn an_unsafe_request_that_worked_makes_its_target_invalid() {
    for method in ["POST", "PUT", "DELETE", "PATCH", "UNKNOWN", "get"] {
        for status in [200, 201, 204, 301, 303] {
            assert_eq!(keys(method, status, &[]), [TARGET], "{method} {status}");
        }
    }
}

#[test]
fn an_unsafe_request_that_failed_makes_nothing_invalid() {
    for status in [400, 404, 409, 500, 503] {
        let list = [("location", "/x")];
        assert!(keys("POST", status, &list).is_empty(), "{status}");
    }
}

#[test]
fn a_safe_request_makes_nothing_invalid() {
    for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
        assert!(
            keys(method, 200, &[("location", "/x")]).is_empty(),
            "{method}"
        );
    }
}

#[test]
fn location_and_content_location_are_made_invalid_too() {
    let list = [
        ("location", "/x"),
        ("content-location", "https://EXAMPLE.org:443/y?z#f"),
    ];
    let expected = [TARGET, "https://example.org/x", "https://example.org/y?z"];
    assert_eq!(keys("POST", 201, &list), expected);
}

#[test]
fn nothing_of_another_origin_is_made_invalid() {
    for other in [
        "http://example.org/x",
        "https://example.com/x",
        "https://example.org:444/x",
        "//evil.org/x",
        "https://example.org@evil.org/x",
        "mailto:a@example.org",
        "https:///x",
    ] {
        let list = [("location", other), ("content-location", other)];
        assert_eq!(keys("POST", 200, &list), [TARGET], "{other}");
    }
}

#[test]
fn references_are_resolved_against_the_target() {
    for (reference, expected) in [
        ("x", "/a/x"),
        ("./x", "/a/x"),
        ("../x", "/x"),
        ("../../../x", "/x"),
        ("..", "/"),
        (".", "/a/"),
        ("/x/./y/../z", "/x/z"),
        ("?q", "/a/b?q"),
        ("x?y=../z", "/a/x?y=../z"),
        ("//example.org/x", "/x"),
        ("x:y/z", ""),
        ("./x:y", "/a/x:y"),
    ] {
        let found = keys("POST", 200, &[("location", reference)]);
        let expected = format!("https://example.org{expected}");
        let others: Vec<_> = found.into_iter().skip(1).collect();
        if reference == "x:y/z" {
            assert!(others.is_empty(), "another scheme");
        } else {
            assert_eq!(others, [expected], "{reference}");
        }
    }
    assert_eq!(keys("POST", 200, &[("location", "#f")]), [TARGET]);
    assert_eq!(keys("POST", 200, &[("location", "")]), [TARGET]);
}

#[test]
fn what_is_made_invalid_must_be_validated_before_it_is_used() {
    let mut rig = Rig::stored(&[("cache-control", "max-age=10"), ("etag", "\"a\"")]);
    rig.variants = rig.variants.into_iter().map(Stored::invalidated).collect();
    validation(rig.get(&[]));
    rig.fill(&get(&[]), 304, &[("etag", "\"a\"")]);
    assert!(is_hit(&rig.get(&[])));
}
