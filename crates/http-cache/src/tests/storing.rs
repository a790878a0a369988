//! RFC 9111, 3: what is stored, and what of it.

use http::Method;

use super::*;
use crate::{Credentials, Refusal};

#[test]
fn a_response_with_explicit_lifetime_is_stored() {
    for control in [
        "max-age=10",
        "s-maxage=10",
        "public, max-age=10",
        "MAX-AGE=10",
    ] {
        assert!(
            Rig::stores(&[], 200, &[("cache-control", control)]),
            "{control}"
        );
    }
    assert!(Rig::stores(&[], 200, &[("expires", &date(10))]));
}

#[test]
fn only_responses_to_get_are_stored() {
    let list = [("cache-control", "public, max-age=10"), ("etag", "\"a\"")];
    for method in ["HEAD", "POST", "PUT", "OPTIONS", "get", "QUERY"] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let outcome = Rig::new().receive(&with_method(method.clone(), &[]), 200, &list);
        assert_eq!(outcome.refusal, Some(Refusal::Method), "{method}");
        assert!(outcome.changes.is_empty());
    }
}

#[test]
fn interim_responses_are_not_stored() {
    for status in [100, 102, 103] {
        assert!(
            !Rig::stores(&[], status, &[("cache-control", "max-age=10")]),
            "{status}"
        );
    }
}

#[test]
fn what_is_about_one_request_only_is_not_stored() {
    for status in [304, 407, 412, 416, 417, 425] {
        let list = [("cache-control", "public, max-age=10"), ("etag", "\"a\"")];
        assert!(!Rig::stores(&[], status, &list), "{status}");
    }
}

#[test]
fn no_store_in_the_response_forbids_storing() {
    assert!(!Rig::stores(
        &[],
        200,
        &[("cache-control", "no-store, max-age=10")]
    ));
    assert!(!Rig::stores(
        &[],
        200,
        &[
            ("cache-control", "max-age=10"),
            ("cache-control", "No-Store")
        ]
    ));
    assert!(!Rig::stores(
        &[],
        200,
        &[("cache-control", "max-age=10, no-store=\"x\"")]
    ));
}

#[test]
fn no_store_in_the_request_forbids_storing() {
    assert!(!Rig::stores(
        &[("cache-control", "no-store")],
        200,
        &[("cache-control", "max-age=10")]
    ));
    let options = Options {
        obey_requests: false,
        ..Options::default()
    };
    let list = [("cache-control", "max-age=10")];
    assert!(!Rig::stores_with(
        options,
        &[("cache-control", "no-store")],
        200,
        &list
    ));
}

#[test]
fn no_store_in_the_request_keeps_the_response_from_updating_anything() {
    let mut rig = Rig::stored(&[("cache-control", "max-age=10"), ("etag", "\"a\"")]);
    let request = get(&[("cache-control", "no-store")]);
    let outcome = rig
        .later(20)
        .receive(&request, 304, &[("etag", "\"a\""), ("x", "1")]);
    assert_eq!(answer(&outcome).status, 200);
    assert!(outcome.changes.is_empty());
}

#[test]
fn private_forbids_storing() {
    for control in [
        "private, max-age=10",
        "max-age=10, private",
        "private=, max-age=10",
    ] {
        assert!(
            !Rig::stores(&[], 200, &[("cache-control", control)]),
            "{control}"
        );
    }
}

#[test]
fn private_with_fields_keeps_only_these_out() {
    let rig = Rig::stored(&[
        ("cache-control", "max-age=10, private=\"x-one, X-Two\""),
        ("x-one", "1"),
        ("x-two", "2"),
        ("x-three", "3"),
    ]);
    let answer = served(rig.get(&[]));
    assert_eq!(text(&answer.headers, "x-three"), "3");
    assert!(!answer.headers.contains_key("x-one") && !answer.headers.contains_key("x-two"));
}

#[test]
fn private_about_a_field_that_decides_is_about_all() {
    for field in [
        "cache-control",
        "vary",
        "etag",
        "expires",
        "content-type",
        "cdn-cache-control",
    ] {
        let control = format!("max-age=10, private=\"{field}\"");
        assert!(
            !Rig::stores(&[], 200, &[("cache-control", &control)]),
            "{field}"
        );
    }
}

#[test]
fn malformed_field_names_in_private_mean_all() {
    for argument in ["\"\"", "\"a b\"", "\"a", "\"x-one, (\"", "a b"] {
        let control = format!("max-age=10, private={argument}");
        assert!(
            !Rig::stores(&[], 200, &[("cache-control", &control)]),
            "{argument}"
        );
    }
}

#[test]
fn authorization_needs_a_directive_that_allows_it() {
    let request = [("authorization", "Basic YTpi")];
    for control in [
        "max-age=10",
        "max-age=10, proxy-revalidate",
        "max-age=10, immutable",
    ] {
        assert!(
            !Rig::stores(&request, 200, &[("cache-control", control)]),
            "{control}"
        );
    }
    assert!(!Rig::stores(&request, 200, &[("expires", &date(10))]));
    for control in [
        "max-age=10, public",
        "s-maxage=10",
        "max-age=10, must-revalidate",
    ] {
        assert!(
            Rig::stores(&request, 200, &[("cache-control", control)]),
            "{control}"
        );
    }
}

#[test]
fn authorization_that_is_allowed_no_more_by_a_304_is_forgotten() {
    let mut rig = Rig::new();
    let request = get(&[("authorization", "Basic YTpi")]);
    rig.fill(
        &request,
        200,
        &[("cache-control", "public, max-age=10"), ("etag", "\"a\"")],
    );
    let list = [("cache-control", "max-age=10"), ("etag", "\"a\"")];
    rig.later(20).fill(&request, 304, &list);
    assert!(rig.variants.is_empty());
}

#[test]
fn must_revalidate_of_a_response_to_authorization_is_kept_to() {
    let mut rig = Rig::new();
    let request = get(&[("authorization", "Basic YTpi")]);
    let control = "max-age=10, must-revalidate, stale-if-error=99";
    rig.fill(
        &request,
        200,
        &[("cache-control", control), ("etag", "\"a\"")],
    );
    assert!(is_hit(&rig.get(&[])));
    rig.later(20);
    validation(rig.get(&[("cache-control", "max-stale")]));
}

#[test]
fn a_status_without_meaning_needs_explicit_freshness() {
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        assert!(Rig::stores(&[], status, &[("etag", "\"a\"")]), "{status}");
    }
    for status in [
        201, 202, 302, 303, 307, 400, 403, 500, 502, 503, 504, 299, 599,
    ] {
        assert!(!Rig::stores(&[], status, &[("etag", "\"a\"")]), "{status}");
        assert!(
            Rig::stores(&[], status, &[("cache-control", "max-age=10")]),
            "{status}"
        );
    }
}

#[test]
fn public_makes_any_status_storable() {
    assert!(Rig::stores(
        &[],
        302,
        &[("cache-control", "public"), ("etag", "\"a\"")]
    ));
}

#[test]
fn must_understand_overrides_no_store_for_statuses_that_are_understood() {
    let list = [("cache-control", "max-age=10, must-understand, no-store")];
    assert!(Rig::stores(&[], 200, &list));
    assert!(Rig::stores(&[], 404, &list));
    assert!(!Rig::stores(&[], 299, &list));
}

#[test]
fn must_understand_keeps_statuses_out_that_are_not_understood() {
    let list = [("cache-control", "max-age=10, must-understand")];
    assert!(!Rig::stores(&[], 599, &list));
    assert!(Rig::stores(&[], 599, &[("cache-control", "max-age=10")]));
}

#[test]
fn unknown_directives_are_ignored() {
    assert!(Rig::stores(
        &[],
        200,
        &[("cache-control", "community=\"UCI\", max-age=10, x")]
    ));
}

#[test]
fn all_fields_are_stored_known_or_not() {
    let rig = Rig::stored(&[
        ("cache-control", "max-age=10"),
        ("x-unknown", "1"),
        ("x-unknown", "2"),
        ("content-type", "text/plain"),
        ("set-cookie", "a=b"),
    ]);
    let answer = served(rig.get(&[]));
    let values: Vec<_> = answer.headers.get_all("x-unknown").iter().collect();
    assert_eq!(values, ["1", "2"]);
    assert_eq!(text(&answer.headers, "content-type"), "text/plain");
    assert_eq!(text(&answer.headers, "set-cookie"), "a=b");
}

const OF_THE_CONNECTION: Fields<'static> = &[
    ("connection", "x-hop, close"),
    ("x-hop", "1"),
    ("keep-alive", "1"),
    ("proxy-connection", "1"),
    ("te", "trailers"),
    ("transfer-encoding", "chunked"),
    ("upgrade", "h2c"),
    ("cache-control", "max-age=10"),
    ("x-kept", "1"),
];

#[test]
fn fields_of_the_connection_are_neither_stored_nor_passed_on() {
    let mut rig = Rig::new();
    let outcome = rig.fill(&get(&[]), 200, OF_THE_CONNECTION);
    let answer = served(rig.get(&[]));
    for headers in [upstream(&outcome), &answer.headers] {
        assert_eq!(text(headers, "x-kept"), "1");
        for (name, _) in &OF_THE_CONNECTION[..7] {
            assert!(!headers.contains_key(*name), "{name}");
        }
    }
}

#[test]
fn fields_of_the_clients_connection_do_not_reach_the_origin() {
    let fetch = Rig::new().fetch(&get(OF_THE_CONNECTION));
    assert_eq!(text(&fetch.headers, "x-kept"), "1");
    for (name, _) in &OF_THE_CONNECTION[..7] {
        assert!(!fetch.headers.contains_key(*name), "{name}");
    }
}

#[test]
fn a_response_whose_connection_names_what_decides_is_not_stored() {
    for field in ["vary", "etag", "expires", "date"] {
        let list = [("cache-control", "max-age=10"), ("connection", field)];
        assert!(!Rig::stores(&[], 200, &list), "{field}");
    }
    let outcome = Rig::new().receive(
        &get(&[]),
        200,
        &[
            ("cache-control", "no-store"),
            ("connection", "cache-control"),
        ],
    );
    assert_eq!(text(upstream(&outcome), "cache-control"), "no-store");
}

#[test]
fn fields_of_the_proxy_are_not_stored() {
    let rig = Rig::stored(&[
        ("cache-control", "max-age=10"),
        ("proxy-authenticate", "Basic"),
        ("proxy-authentication-info", "x"),
        ("proxy-authorization", "x"),
    ]);
    assert!(
        rig.variants[0]
            .headers()
            .keys()
            .all(|name| !name.as_str().starts_with("proxy"))
    );
}

#[test]
fn a_response_that_could_never_be_used_is_not_stored() {
    assert!(!Rig::stores(&[], 200, &[("cache-control", "max-age=0")]));
    assert!(!Rig::stores(
        &[],
        200,
        &[("cache-control", "max-age=10"), ("age", "10")]
    ));
    assert!(!Rig::stores(&[], 200, &[]));
    assert!(Rig::stores(
        &[],
        200,
        &[("cache-control", "max-age=0"), ("etag", "\"a\"")]
    ));
    assert!(Rig::stores(
        &[],
        200,
        &[("cache-control", "max-age=0, stale-while-revalidate=9")]
    ));
}

#[test]
fn options_keep_cookies_and_credentials_out() {
    let list = [
        ("cache-control", "public, max-age=10"),
        ("set-cookie", "a=b"),
    ];
    let options = Options {
        store_set_cookie: false,
        ..Options::default()
    };
    assert!(!Rig::stores_with(options, &[], 200, &list));
    let options = Options {
        cookies: Credentials::Bypass,
        ..Options::default()
    };
    assert!(!Rig::stores_with(options, &[("cookie", "a=b")], 200, &list));
    let options = Options {
        authorization: Credentials::Bypass,
        ..Options::default()
    };
    assert!(!Rig::stores_with(
        options,
        &[("authorization", "x")],
        200,
        &list
    ));
}

#[test]
fn an_option_lets_requests_with_cookies_pass_by() {
    let mut rig = Rig::stored(&[("cache-control", "max-age=10")]);
    rig.cache = SharedCache::new(Options {
        cookies: Credentials::Bypass,
        ..Options::default()
    });
    assert!(is_hit(&rig.get(&[])));
    assert_eq!(
        forwarded(&rig.get(&[("cookie", "a=b")])),
        Some(Reason::Bypass)
    );
}

#[test]
fn a_set_cookie_that_a_304_brings_is_not_kept_where_cookies_are_not_stored() {
    let mut rig = Rig::stored(&[("cache-control", "max-age=10"), ("etag", "\"a\"")]);
    rig.cache = SharedCache::new(Options {
        store_set_cookie: false,
        ..Options::default()
    });
    rig.later(20)
        .fill(&get(&[]), 304, &[("etag", "\"a\""), ("set-cookie", "a=b")]);
    assert!(rig.variants.is_empty());
}

#[test]
fn fields_that_are_too_large_are_not_stored() {
    let long = "x".repeat(70_000);
    let list = [("cache-control", "max-age=10"), ("x-long", long.as_str())];
    assert!(!Rig::stores(&[], 200, &list));
}

#[test]
fn more_directives_than_are_read_forbid_storing() {
    let many = "a, ".repeat(crate::MAX_DIRECTIVES) + "max-age=10";
    assert!(!Rig::stores(&[], 200, &[("cache-control", &many)]));
    let long = format!("max-age=10, x=\"{}\"", "a".repeat(crate::MAX_CONTROL_BYTES));
    assert!(!Rig::stores(&[], 200, &[("cache-control", &long)]));
}

#[test]
fn a_response_without_date_gets_that_of_its_arrival() {
    let mut rig = Rig::new();
    rig.now = 5;
    let outcome = rig.fill(&get(&[]), 200, &[("cache-control", "max-age=10")]);
    assert_eq!(text(upstream(&outcome), "date"), date(5));
    rig.later(1);
    assert_eq!(text(&served(rig.get(&[])).headers, "date"), date(5));
}

#[test]
fn a_body_of_another_length_than_declared_is_incomplete() {
    let declared = [
        ("cache-control", "max-age=10"),
        ("content-length", "10"),
        ("etag", "\"a\""),
    ];
    let Change::Insert(stored) = Rig::new()
        .receive(&get(&[]), 200, &declared)
        .changes
        .remove(0)
    else {
        panic!("it is stored")
    };
    let whole = stored.clone().complete(10).expect("complete");
    assert!(whole.content().is_whole());
    let part = stored.clone().complete(4).expect("a part");
    assert!(!part.content().is_whole());
    assert!(stored.truncated(0).is_none());
}

#[test]
fn an_incomplete_response_without_strong_validator_is_dropped() {
    for validator in [("etag", "W/\"a\""), ("x", "y")] {
        let list = [("cache-control", "max-age=10"), validator];
        let outcome = Rig::new().receive(&get(&[]), 200, &list);
        let Some(Change::Insert(stored)) = outcome.changes.into_iter().next() else {
            panic!("it is stored")
        };
        assert!(stored.truncated(4).is_none());
    }
}

#[test]
fn an_incomplete_response_does_not_answer_for_the_whole() {
    let mut rig = Rig::stored(&[("cache-control", "max-age=10"), ("etag", "\"a\"")]);
    let Change::Insert(stored) = Rig::new()
        .receive(
            &get(&[]),
            200,
            &[
                ("cache-control", "max-age=10"),
                ("etag", "\"a\""),
                ("content-length", "10"),
            ],
        )
        .changes
        .remove(0)
    else {
        panic!("it is stored")
    };
    rig.variants = vec![stored.truncated(4).expect("a part")];
    assert_eq!(forwarded(&rig.get(&[])), Some(Reason::Partial));
    assert_eq!(
        forwarded(&rig.look(&with_method(Method::HEAD, &[]))),
        Some(Reason::Partial)
    );
    assert_eq!(served(rig.get(&[("range", "bytes=1-3")])).status, 206);
    assert_eq!(
        forwarded(&rig.get(&[("range", "bytes=1-4")])),
        Some(Reason::Partial)
    );
}

#[test]
fn a_newer_response_is_not_replaced_by_an_older_one_that_comes_late() {
    let mut rig = Rig::new();
    let slow = rig.fetch(&get(&[]));
    rig.later(5).fill(
        &get(&[]),
        200,
        &[("cache-control", "max-age=100"), ("date", &date(5))],
    );
    let times = Times {
        request: at(0),
        response: at(6),
    };
    let late = response(200, &[("cache-control", "max-age=100"), ("date", &date(0))]);
    let outcome = rig
        .cache
        .on_response(&get(&[]), &slow, &late, times, &rig.variants);
    assert_eq!(outcome.refusal, Some(Refusal::Superseded));
    assert!(outcome.changes.is_empty());
}

#[test]
fn a_stale_response_is_forgotten_when_what_replaces_it_may_not_be_stored() {
    let mut rig = Rig::stored(&[("cache-control", "max-age=10"), ("etag", "\"a\"")]);
    rig.later(20).fill(
        &get(&[]),
        200,
        &[("cache-control", "no-store"), ("etag", "\"b\"")],
    );
    assert!(rig.variants.is_empty());
}

#[test]
fn a_length_beside_a_transfer_coding_means_nothing() {
    let list = [
        ("cache-control", "max-age=10"),
        ("content-length", "3"),
        ("transfer-encoding", "chunked"),
    ];
    let mut rig = Rig::new();
    rig.fill(&get(&[]), 200, &list);
    assert_eq!(rig.variants[0].content().length(), Some(LENGTH));
}

#[test]
fn as_many_fields_as_a_message_can_have_do_no_harm() {
    let mut headers = HeaderMap::new();
    let mut number = 0;
    loop {
        let name = HeaderName::from_bytes(format!("x-{number}").as_bytes()).expect("a name");
        if headers
            .try_append(name, HeaderValue::from_static(""))
            .is_err()
        {
            break;
        }
        number += 1;
    }
    let mut rig = Rig::stored(&[("cache-control", "max-age=10"), ("etag", "\"a\"")]);
    rig.later(20);
    let mut request = get(&[]);
    request.headers_mut().clone_from(&headers);
    let fetch = validation(rig.look(&request));
    for status in [200, 206, 304, 503] {
        let mut many = response(status, &[]);
        many.headers_mut().clone_from(&headers);
        let times = Times {
            request: at(20),
            response: at(20),
        };
        let outcome = rig
            .cache
            .on_response(&request, &fetch, &many, times, &rig.variants);
        let kept = outcome
            .changes
            .iter()
            .any(|change| !matches!(change, Change::Remove { .. }));
        assert!(!kept, "{status}");
    }
}

#[test]
fn a_304_to_credentials_does_not_change_what_is_stored_for_all() {
    let mut rig = Rig::stored(&[("cache-control", "max-age=10"), ("etag", "\"a\"")]);
    rig.later(20);
    let request = get(&[("authorization", "x")]);
    let outcome = rig.receive(&request, 304, &[("etag", "\"a\""), ("x", "for one")]);
    assert_eq!(text(&answer(&outcome).headers, "x"), "for one");
    assert!(outcome.changes.is_empty());
    let list = [("etag", "\"a\""), ("cache-control", "public, max-age=10")];
    rig.fill(&request, 304, &list);
    assert!(is_hit(&rig.get(&[])));
    let list = [("etag", "\"a\""), ("cache-control", "max-age=10")];
    rig.later(20).fill(&get(&[]), 304, &list);
    assert!(
        rig.variants.is_empty(),
        "it was shared only because it was public"
    );
}

#[test]
fn a_head_with_credentials_does_not_change_what_is_stored_for_all() {
    let mut rig = Rig::stored(&[("cache-control", "max-age=10"), ("etag", "\"a\"")]);
    let list = [("authorization", "x"), ("cache-control", "no-cache")];
    let request = with_method(Method::HEAD, &list);
    let outcome = rig.fill(&request, 200, &[("etag", "\"a\""), ("x", "for one")]);
    assert!(outcome.changes.is_empty());
}

#[test]
fn fields_for_one_user_reach_this_user_and_nobody_else() {
    let mut rig = Rig::stored(&[("cache-control", "max-age=10"), ("etag", "\"a\"")]);
    let list = [
        ("etag", "\"a\""),
        ("cache-control", "max-age=10, private=\"x-user\""),
        ("x-user", "one"),
    ];
    let outcome = rig.later(20).fill(&get(&[]), 304, &list);
    assert_eq!(text(&answer(&outcome).headers, "x-user"), "one");
    assert!(!served(rig.get(&[])).headers.contains_key("x-user"));
}

#[test]
fn a_reload_replaces_what_is_stored_even_by_an_older_response() {
    let mut rig = Rig::stored(&[("cache-control", "max-age=100"), ("x", "1")]);
    let request = get(&[("cache-control", "no-cache")]);
    let older = date(-5);
    let list = [
        ("cache-control", "max-age=100"),
        ("date", older.as_str()),
        ("x", "2"),
    ];
    rig.later(5).fill(&request, 200, &list);
    assert_eq!(text(&served(rig.get(&[])).headers, "x"), "2");
}

#[test]
fn a_body_that_broke_off_behind_its_end_is_whole() {
    let list = [
        ("cache-control", "max-age=10"),
        ("etag", "\"a\""),
        ("content-length", "10"),
    ];
    let outcome = Rig::new().receive(&get(&[]), 200, &list);
    let Some(Change::Insert(stored)) = outcome.changes.into_iter().next() else {
        panic!("it is stored")
    };
    let whole = stored.clone().truncated(10).expect("nothing is missing");
    assert!(whole.content().is_whole());
    assert!(stored.truncated(11).is_none());
}
