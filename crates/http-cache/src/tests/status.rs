//! RFC 9211: what the cache says that it did.

use http::Method;
use sfv::{BareItem, List, ListEntry, Parser};

use super::*;
use crate::{CACHE_STATUS, CacheStatus, Handling};

fn member(status: &CacheStatus) -> String {
    let mut headers = HeaderMap::new();
    status.append_to("example", &mut headers);
    text(&headers, "cache-status").to_owned()
}

fn of_upstream(outcome: &Outcome) -> String {
    match &outcome.respond {
        Respond::Upstream { cache_status, .. } => member(cache_status),
        other => panic!("{other:?}"),
    }
}

fn reason(decision: &Decision) -> Reason {
    match decision {
        Decision::Forward(fetch) | Decision::Validate(fetch) => fetch.reason,
        other => panic!("{other:?}"),
    }
}

const STORED: Fields<'static> = &[("cache-control", "max-age=10"), ("etag", "\"a\"")];

#[test]
fn a_hit_says_so_and_for_how_long() {
    let mut rig = Rig::stored(STORED);
    assert_eq!(
        member(&served(rig.later(3).get(&[])).cache_status),
        "example; hit; ttl=7"
    );
    let answer = served(rig.later(9).get(&[("cache-control", "max-stale")]));
    assert_eq!(member(&answer.cache_status), "example; hit; ttl=-2");
}

#[test]
fn a_miss_says_why_it_went_on_and_what_came_back() {
    let outcome = Rig::new().receive(&get(&[]), 200, STORED);
    assert_eq!(
        of_upstream(&outcome),
        "example; fwd=uri-miss; fwd-status=200; stored"
    );
    let outcome = Rig::new().receive(&get(&[]), 404, &[]);
    assert_eq!(
        of_upstream(&outcome),
        "example; fwd=uri-miss; fwd-status=404"
    );
}

#[test]
fn a_validation_says_what_the_origin_said() {
    let mut rig = Rig::stored(STORED);
    let outcome = rig.later(20).receive(&get(&[]), 304, &[("etag", "\"a\"")]);
    let said = member(&answer(&outcome).cache_status);
    assert_eq!(said, "example; fwd=stale; fwd-status=304; ttl=10");
}

#[test]
fn each_reason_to_forward_is_told() {
    let mut rig = Rig::new();
    assert_eq!(reason(&rig.get(&[])), Reason::UriMiss);
    rig.fill(
        &get(&[("foo", "1")]),
        200,
        &[("cache-control", "max-age=10"), ("vary", "foo")],
    );
    assert_eq!(reason(&rig.get(&[])), Reason::VaryMiss);
    assert_eq!(
        reason(&rig.look(&with_method(Method::POST, &[]))),
        Reason::Method
    );
    assert_eq!(reason(&rig.get(&[("if-match", "*")])), Reason::Bypass);
    let mut rig = Rig::stored(STORED);
    assert_eq!(
        reason(&rig.get(&[("cache-control", "no-cache")])),
        Reason::Request
    );
    assert_eq!(reason(&rig.later(10).get(&[])), Reason::Stale);
}

#[test]
fn an_answer_that_the_cache_made_out_of_nothing_says_nothing() {
    let control = [("cache-control", "only-if-cached")];
    let Decision::Unsatisfied(answer) = Rig::new().get(&control) else {
        panic!("504")
    };
    assert_eq!(answer.cache_status.handling, Handling::Generated);
    assert_eq!(member(&answer.cache_status), "");
    let rig = Rig::new();
    let fetch = rig.fetch(&get(&[]));
    let answer = rig.cache.on_failure(&get(&[]), &fetch, &[], at(0));
    assert_eq!(member(&answer.cache_status), "");
}

#[test]
fn an_answer_that_is_based_on_what_is_stored_is_a_hit() {
    let rig = Rig::stored(STORED);
    for list in [&[("if-none-match", "\"a\"")][..], &[("range", "bytes=0-1")]] {
        assert_eq!(
            member(&served(rig.get(list)).cache_status),
            "example; hit; ttl=10"
        );
    }
}

#[test]
fn a_failure_that_is_hidden_has_no_status_of_the_origin() {
    let control = "max-age=10, stale-if-error=10";
    let mut rig = Rig::stored(&[("cache-control", control), ("etag", "\"a\"")]);
    let fetch = rig.later(15).fetch(&get(&[]));
    let answer = rig
        .cache
        .on_failure(&get(&[]), &fetch, &rig.variants, at(15));
    assert_eq!(member(&answer.cache_status), "example; fwd=stale; ttl=-5");
}

#[test]
fn the_member_comes_behind_those_of_caches_nearer_to_the_origin() {
    let mut headers = fields(&[("cache-status", "origin; hit")]);
    let status = CacheStatus {
        handling: Handling::Hit,
        ttl: None,
        key: None,
        detail: None,
    };
    status.append_to("example", &mut headers);
    let lines: Vec<_> = headers.get_all(CACHE_STATUS).iter().collect();
    assert_eq!(lines, ["origin; hit", "example; hit"]);
}

#[test]
fn what_caches_nearer_to_the_origin_said_is_stored_and_kept() {
    let list = [
        ("cache-control", "max-age=10"),
        ("cache-status", "origin; fwd=miss"),
    ];
    let mut headers = served(Rig::stored(&list).get(&[])).headers;
    assert_eq!(text(&headers, "cache-status"), "origin; fwd=miss");
    CacheStatus::hit(1).append_to("example", &mut headers);
    assert_eq!(headers.get_all(CACHE_STATUS).iter().count(), 2);
}

#[test]
fn all_parameters_are_structured() {
    let status = CacheStatus {
        handling: Handling::Forward {
            reason: Reason::Miss,
            status: Some(StatusCode::OK),
            stored: true,
            collapsed: true,
        },
        ttl: Some(-5),
        key: Some("a \"b\" \\c".into()),
        detail: Some("two words".into()),
    };
    let mut headers = HeaderMap::new();
    status.append_to("name with blank", &mut headers);
    let list: List = Parser::new(headers[CACHE_STATUS].as_bytes())
        .parse()
        .expect("a list");
    let [ListEntry::Item(item)] = &list[..] else {
        panic!("one item")
    };
    assert_eq!(
        item.bare_item.as_string().map(sfv::StringRef::as_str),
        Some("name with blank")
    );
    let parameter = |name: &str| {
        let found = item.params.iter().find(|(key, _)| key.as_str() == name);
        found.map(|(_, value)| value.clone()).expect("a parameter")
    };
    assert_eq!(
        parameter("fwd").as_token().map(sfv::TokenRef::as_str),
        Some("miss")
    );
    assert_eq!(parameter("fwd-status"), BareItem::Integer(200.into()));
    assert_eq!(parameter("stored"), BareItem::Boolean(true));
    assert_eq!(parameter("collapsed"), BareItem::Boolean(true));
    assert_eq!(parameter("ttl"), BareItem::Integer((-5).into()));
    assert_eq!(
        parameter("key").as_string().map(sfv::StringRef::as_str),
        Some("a \"b\" \\c")
    );
    assert_eq!(
        parameter("detail").as_string().map(sfv::StringRef::as_str),
        Some("two words")
    );
}

#[test]
fn what_is_no_text_is_left_out() {
    let mut status = CacheStatus::hit(1);
    status.key = Some("ä".into());
    status.detail = Some("a\nb".into());
    assert_eq!(member(&status), "example; hit; ttl=1");
    let mut headers = HeaderMap::new();
    status.append_to("", &mut headers);
    assert!(headers.is_empty());
}
