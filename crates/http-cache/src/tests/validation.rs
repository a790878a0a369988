//! RFC 9111, 4.3.1, 4.3.3 and 4.3.4: asking the origin whether what is stored is good.

use http::Method;

use super::*;

const TAGGED: Fields<'static> = &[
    ("cache-control", "max-age=10"),
    ("etag", "\"a\""),
    ("x", "old"),
];

fn stale(list: Fields<'_>) -> Rig {
    let mut rig = Rig::stored(list);
    rig.later(20);
    rig
}

#[test]
fn the_entity_tag_is_sent_with_if_none_match() {
    for tag in ["\"a\"", "W/\"a\"", "\"\"", "\"a,b\\\""] {
        let fetch = validation(stale(&[("cache-control", "max-age=10"), ("etag", tag)]).get(&[]));
        assert_eq!(text(&fetch.headers, "if-none-match"), tag);
        assert!(fetch.is_conditional());
    }
}

#[test]
fn the_date_of_modification_is_sent_with_if_modified_since() {
    let modified = date(-50);
    let list = [
        ("cache-control", "max-age=10"),
        ("last-modified", modified.as_str()),
    ];
    let fetch = validation(stale(&list).get(&[]));
    assert_eq!(text(&fetch.headers, "if-modified-since"), modified);
    assert!(!fetch.headers.contains_key("if-none-match"));
}

#[test]
fn both_validators_are_sent_if_both_are_there() {
    let modified = date(-50);
    let list = [
        ("cache-control", "max-age=10"),
        ("last-modified", modified.as_str()),
        ("etag", "\"a\""),
    ];
    let fetch = validation(stale(&list).get(&[]));
    assert_eq!(text(&fetch.headers, "if-modified-since"), modified);
    assert_eq!(text(&fetch.headers, "if-none-match"), "\"a\"");
}

#[test]
fn what_is_no_validator_is_not_sent() {
    let list = [
        ("cache-control", "max-age=10"),
        ("etag", "unquoted"),
        ("last-modified", "yesterday"),
    ];
    assert_eq!(forwarded(&stale(&list).get(&[])), Some(Reason::Stale));
}

#[test]
fn the_clients_conditions_give_way_to_the_caches() {
    let client = [
        ("if-none-match", "\"client\""),
        ("if-modified-since", &date(0)),
        ("x-y", "1"),
    ];
    let fetch = validation(stale(TAGGED).get(&client));
    assert_eq!(text(&fetch.headers, "if-none-match"), "\"a\"");
    assert!(!fetch.headers.contains_key("if-modified-since"));
    assert_eq!(text(&fetch.headers, "x-y"), "1");
}

#[test]
fn the_clients_conditions_are_forwarded_if_the_cache_has_none() {
    let Decision::Forward(fetch) = Rig::new().get(&[("if-none-match", "\"c\"")]) else {
        panic!("forwarded")
    };
    assert_eq!(text(&fetch.headers, "if-none-match"), "\"c\"");
    assert!(!fetch.is_conditional());
}

#[test]
fn a_304_that_the_client_asked_for_goes_to_the_client() {
    let rig = Rig::new();
    let outcome = rig.receive(
        &get(&[("if-none-match", "\"c\"")]),
        304,
        &[("etag", "\"c\"")],
    );
    assert!(matches!(outcome.respond, Respond::Upstream { .. }));
    assert!(outcome.changes.is_empty());
}

#[test]
fn a_304_makes_what_is_stored_fresh_and_is_answered_from_it() {
    let mut rig = stale(TAGGED);
    let list = [
        ("etag", "\"a\""),
        ("cache-control", "max-age=30"),
        ("x", "new"),
    ];
    let outcome = rig.fill(&get(&[]), 304, &list);
    let sent = answer(&outcome);
    assert_eq!(
        (sent.status.as_u16(), text(&sent.headers, "x")),
        (200, "new")
    );
    assert_eq!(text(&sent.headers, "age"), "0");
    assert_eq!(sent.source, crate::Source::Stored(0));
    let sent = served(rig.later(29).get(&[]));
    assert_eq!(text(&sent.headers, "x"), "new");
    validation(rig.later(1).get(&[]));
}

#[test]
fn a_304_leaves_the_body_where_it_is() {
    let mut rig = stale(TAGGED);
    rig.variants[0].locator = 77;
    rig.fill(
        &get(&[]),
        304,
        &[("etag", "\"a\""), ("content-length", "0")],
    );
    assert_eq!(rig.variants[0].locator, 77);
    assert_eq!(rig.variants[0].content().length(), Some(LENGTH));
    assert_eq!(text(&served(rig.get(&[])).headers, "content-length"), "10");
}

#[test]
fn after_a_304_the_client_gets_its_own_304_if_it_has_the_same() {
    let rig = stale(TAGGED);
    let request = get(&[("if-none-match", "\"a\"")]);
    assert_eq!(
        answer(&rig.receive(&request, 304, &[("etag", "\"a\"")])).status,
        304
    );
    let request = get(&[("if-none-match", "\"b\"")]);
    assert_eq!(
        answer(&rig.receive(&request, 304, &[("etag", "\"a\"")])).status,
        200
    );
}

#[test]
fn after_a_200_the_client_gets_a_304_if_it_has_the_new_one_already() {
    let rig = stale(TAGGED);
    let request = get(&[("if-none-match", "\"b\"")]);
    let outcome = rig.receive(
        &request,
        200,
        &[("cache-control", "max-age=10"), ("etag", "\"b\"")],
    );
    let sent = answer(&outcome);
    assert_eq!(
        (sent.status.as_u16(), sent.source),
        (304, crate::Source::Received)
    );
    assert!(matches!(outcome.changes.last(), Some(Change::Insert(_))));
}

#[test]
fn a_full_response_to_a_validation_replaces_what_is_stored() {
    let mut rig = stale(TAGGED);
    let list = [
        ("cache-control", "max-age=10"),
        ("etag", "\"b\""),
        ("x", "new"),
    ];
    let outcome = rig.fill(&get(&[]), 200, &list);
    assert_eq!(text(upstream(&outcome), "x"), "new");
    assert_eq!(rig.variants.len(), 1);
    assert_eq!(text(&served(rig.get(&[])).headers, "etag"), "\"b\"");
}

#[test]
fn a_strong_tag_in_a_304_updates_all_that_have_it() {
    let mut rig = Rig::new();
    let list = [
        ("cache-control", "max-age=10"),
        ("vary", "foo"),
        ("etag", "\"a\""),
    ];
    rig.fill(&get(&[("foo", "1")]), 200, &list);
    rig.fill(&get(&[("foo", "2")]), 200, &list);
    rig.later(20)
        .fill(&get(&[("foo", "1")]), 304, &[("etag", "\"a\"")]);
    assert!(is_hit(&rig.get(&[("foo", "1")])) && is_hit(&rig.get(&[("foo", "2")])));
}

#[test]
fn a_weak_tag_in_a_304_updates_the_most_recent_only() {
    let mut rig = Rig::new();
    for seconds in [-2, -1] {
        let mut other = Rig::new();
        let list = [
            ("cache-control", "max-age=10"),
            ("etag", "W/\"a\""),
            ("date", &date(seconds)),
        ];
        other.fill(&get(&[]), 200, &list);
        rig.variants.append(&mut other.variants);
    }
    let outcome = rig
        .later(20)
        .receive(&get(&[]), 304, &[("etag", "W/\"a\"")]);
    assert!(matches!(
        outcome.changes[..],
        [Change::Update { variant: 1, .. }]
    ));
}

#[test]
fn a_304_with_an_unknown_tag_updates_nothing_and_the_origin_is_asked_again() {
    let rig = stale(TAGGED);
    let outcome = rig.receive(
        &get(&[("if-none-match", "\"c\"")]),
        304,
        &[("etag", "\"other\"")],
    );
    assert!(outcome.changes.is_empty());
    let Respond::Again(fetch) = outcome.respond else {
        panic!("asked again")
    };
    assert!(!fetch.is_conditional());
    assert_eq!(text(&fetch.headers, "if-none-match"), "\"c\"");
}

#[test]
fn a_304_with_the_date_of_modification_updates_what_has_it() {
    let modified = date(-50);
    let list = [
        ("cache-control", "max-age=10"),
        ("last-modified", modified.as_str()),
    ];
    let mut rig = stale(&list);
    rig.fill(&get(&[]), 304, &[("last-modified", &modified)]);
    assert!(is_hit(&rig.get(&[])));
    rig.later(20);
    let outcome = rig.receive(&get(&[]), 304, &[("last-modified", &date(-1))]);
    assert!(matches!(outcome.respond, Respond::Again(_)));
}

#[test]
fn a_304_without_validator_updates_the_only_one_that_was_asked_for() {
    let modified = date(-50);
    let list = [
        ("cache-control", "max-age=10"),
        ("last-modified", modified.as_str()),
    ];
    let mut rig = stale(&list);
    rig.fill(&get(&[]), 304, &[]);
    assert!(is_hit(&rig.get(&[])));
    let mut rig = stale(TAGGED);
    rig.fill(&get(&[]), 304, &[]);
    assert!(is_hit(&rig.get(&[])));
}

/// Two variants with tags of their own.
fn two() -> Rig {
    let mut rig = Rig::new();
    for (foo, tag) in [("1", "\"a\""), ("2", "\"b\"")] {
        let list = [
            ("cache-control", "max-age=10"),
            ("vary", "foo"),
            ("etag", tag),
        ];
        rig.fill(&get(&[("foo", foo)]), 200, &list);
    }
    rig
}

#[test]
fn a_304_without_validator_updates_nothing_if_several_were_asked_for() {
    let mut rig = two();
    let outcome = rig.later(20).receive(&get(&[("foo", "1")]), 304, &[]);
    assert!(matches!(outcome.respond, Respond::Again(_)));
    assert!(outcome.changes.is_empty());
}

#[test]
fn a_304_does_not_update_what_has_been_replaced_meanwhile() {
    let mut rig = stale(TAGGED);
    let fetch = rig.fetch(&get(&[]));
    rig.fill(
        &get(&[]),
        200,
        &[("cache-control", "max-age=10"), ("etag", "\"b\"")],
    );
    for list in [&[("etag", "\"a\"")][..], &[]] {
        let outcome = rig.receive_for(&get(&[]), &fetch, 304, list);
        assert!(matches!(outcome.respond, Respond::Again(_)), "{list:?}");
        assert!(outcome.changes.is_empty());
    }
}

#[test]
fn the_tags_of_all_variants_are_sent() {
    let mut rig = two();
    let fetch = validation(rig.get(&[("foo", "3")]));
    assert_eq!(fetch.reason, Reason::VaryMiss);
    assert_eq!(text(&fetch.headers, "if-none-match"), "\"a\", \"b\"");
    let fetch = validation(rig.later(20).get(&[("foo", "2")]));
    assert_eq!(text(&fetch.headers, "if-none-match"), "\"b\", \"a\"");
}

#[test]
fn a_304_may_choose_another_variant_which_then_serves_such_requests_too() {
    let mut rig = two();
    let outcome = rig.fill(&get(&[("foo", "3")]), 304, &[("etag", "\"b\"")]);
    assert_eq!(answer(&outcome).source, crate::Source::Stored(1));
    for foo in ["1", "2", "3"] {
        assert!(is_hit(&rig.get(&[("foo", foo)])), "{foo}");
    }
    assert_eq!(
        text(&served(rig.get(&[("foo", "3")])).headers, "etag"),
        "\"b\""
    );
}

#[test]
fn tags_of_variants_are_not_offered_where_they_could_mislead() {
    let offered = |list: Fields<'_>, request: Fields<'_>, options| {
        let mut rig = Rig::with(options);
        let mut all = vec![("cache-control", "max-age=10"), ("vary", "accept-encoding")];
        all.extend_from_slice(list);
        rig.fill(&get(&[("accept-encoding", "gzip")]), 200, &all);
        !matches!(rig.get(request), Decision::Forward(_))
    };
    let coded = [("etag", "\"a\""), ("content-encoding", "gzip")];
    let other = [("accept-encoding", "gzip;q=0.1, br")];
    assert!(offered(&coded, &other, Options::default()));
    assert!(!offered(&coded, &[], Options::default()));
    assert!(!offered(
        &coded,
        &[("accept-encoding", "gzip;q=0, br")],
        Options::default()
    ));
    assert!(!offered(&[("etag", "W/\"a\"")], &other, Options::default()));
    let options = Options {
        offer_other_variants: false,
        ..Options::default()
    };
    assert!(!offered(&coded, &other, options));
}

#[test]
fn a_304_that_forbids_storing_is_answered_and_forgotten() {
    for control in ["no-store", "private", "max-age=9, private=\"vary\""] {
        let mut rig = stale(TAGGED);
        let list = [("etag", "\"a\""), ("cache-control", control)];
        let outcome = rig.fill(&get(&[]), 304, &list);
        assert_eq!(answer(&outcome).status, 200);
        assert!(rig.variants.is_empty(), "{control}");
    }
}

#[test]
fn a_304_that_changes_vary_keeps_the_response_for_the_present_request() {
    let mut rig = stale(TAGGED);
    rig.fill(
        &get(&[("foo", "1")]),
        304,
        &[("etag", "\"a\""), ("vary", "foo")],
    );
    assert!(is_hit(&rig.get(&[("foo", "1")])));
    assert!(!is_hit(&rig.get(&[("foo", "2")])));
    rig.later(20).fill(
        &get(&[("foo", "1")]),
        304,
        &[("etag", "\"a\""), ("vary", "*")],
    );
    assert!(rig.variants.is_empty());
}

#[test]
fn head_validates_what_is_stored_for_get() {
    let mut rig = stale(TAGGED);
    let request = with_method(Method::HEAD, &[]);
    let fetch = validation(rig.look(&request));
    assert_eq!(
        (fetch.method.as_str(), text(&fetch.headers, "if-none-match")),
        ("HEAD", "\"a\"")
    );
    let outcome = rig.fill(&request, 304, &[("etag", "\"a\"")]);
    assert_eq!(answer(&outcome).status, 200);
    assert!(is_hit(&rig.get(&[])));
}

#[test]
fn a_range_stays_in_a_validation() {
    let rig = stale(TAGGED);
    let request = get(&[("range", "bytes=2-3"), ("if-range", "\"a\"")]);
    let fetch = rig.fetch(&request);
    assert_eq!(text(&fetch.headers, "range"), "bytes=2-3");
    let outcome = rig.receive(&request, 304, &[("etag", "\"a\"")]);
    assert_eq!(answer(&outcome).status, 206);
}

#[test]
fn an_option_fills_the_cache_though_the_client_asked_with_conditions() {
    let filling = || {
        Rig::with(Options {
            fill_on_condition: true,
            ..Options::default()
        })
    };
    let list = [("cache-control", "max-age=10"), ("etag", "\"a\"")];
    for (tag, status) in [("\"a\"", Some(304)), ("\"b\"", None)] {
        let mut rig = filling();
        let request = get(&[("if-none-match", tag), ("if-modified-since", &date(0))]);
        let fetch = rig.fetch(&request);
        assert!(!fetch.is_conditional() && !fetch.headers.contains_key("if-none-match"));
        assert!(!fetch.headers.contains_key("if-modified-since"));
        let outcome = rig.fill(&request, 200, &list);
        let answered = match &outcome.respond {
            Respond::Answer(answer) => Some(answer.status.as_u16()),
            _ => None,
        };
        assert_eq!(answered, status);
        assert!(is_hit(&rig.get(&[])));
    }
    for more in [("range", "bytes=0-1"), ("cache-control", "no-store")] {
        let fetch = filling().fetch(&get(&[("if-none-match", "\"a\""), more]));
        assert!(fetch.headers.contains_key("if-none-match"), "{more:?}");
    }
    let request = with_method(Method::HEAD, &[("if-none-match", "\"a\"")]);
    assert!(
        filling()
            .fetch(&request)
            .headers
            .contains_key("if-none-match")
    );
}
