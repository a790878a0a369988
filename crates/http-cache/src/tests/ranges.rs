//! RFC 9110, 14 and 15.3.7, RFC 9111, 3.3 and 3.4: parts of representations.

use http::Method;

use super::*;
use crate::{Body, Content, Refusal, Span};

const STORED: Fields<'static> = &[
    ("cache-control", "max-age=1000"),
    ("etag", "\"a\""),
    ("content-type", "text/plain"),
    ("content-language", "en"),
];

/// One that has a representation of so many bytes.
fn long(length: u64) -> Rig {
    let mut rig = Rig::new();
    let length = length.to_string();
    let mut all = STORED.to_vec();
    all.push(("content-length", &length));
    rig.fill(&get(&[]), 200, &all);
    rig
}

fn asked(rig: &Rig, range: &str) -> Answer {
    served(rig.get(&[("range", range)]))
}

/// The span that is sent, from the first byte to the last.
fn single(length: u64, range: &str) -> (u64, u64) {
    let answer = asked(&long(length), range);
    assert_eq!(answer.status, 206, "{range}");
    let Body::Span(span) = answer.body else {
        panic!("not one span: {range}")
    };
    assert_eq!(
        text(&answer.headers, "content-length"),
        span.length().to_string()
    );
    let expected = format!("bytes {}-{}/{length}", span.start, span.end - 1);
    assert_eq!(text(&answer.headers, "content-range"), expected);
    (span.start, span.end - 1)
}

#[test]
fn one_range_is_cut_out_of_what_is_stored() {
    assert_eq!(single(100, "bytes=0-0"), (0, 0));
    assert_eq!(single(100, "bytes=90-"), (90, 99));
    assert_eq!(single(100, "bytes=-5"), (95, 99));
    assert_eq!(single(100, "bytes=-500"), (0, 99));
    assert_eq!(single(100, "bytes=50-500"), (50, 99));
    assert_eq!(single(100, "BYTES=1-18446744073709551615"), (1, 99));
    assert_eq!(single(100, "bytes=1-99999999999999999999999"), (1, 99));
}

#[test]
fn a_range_that_lies_outside_is_left_out_if_another_does_not() {
    assert_eq!(single(100, "bytes=200-300, 1-2"), (1, 2));
}

#[test]
fn ranges_that_all_lie_outside_are_416() {
    for range in ["bytes=100-", "bytes=200-300,400-", "bytes=-0"] {
        let answer = asked(&long(100), range);
        assert_eq!(answer.status, 416, "{range}");
        assert_eq!(text(&answer.headers, "content-range"), "bytes */100");
        assert_eq!(answer.body, Body::Empty);
        assert!(!answer.headers.contains_key("cache-control"));
    }
}

#[test]
fn what_is_no_range_is_ignored() {
    for range in [
        "bytes=",
        "bytes",
        "bytes=a-b",
        "bytes=5-1",
        "bytes=1-2,x",
        "items=0-1",
        "bytes=1",
        "bytes=--1",
        "bytes=-",
        "bytes =1-2;x",
        "",
    ] {
        assert_eq!(asked(&long(100), range).status, 200, "{range}");
    }
    let twice = [("range", "bytes=0-1"), ("range", "bytes=2-3")];
    assert_eq!(served(long(100).get(&twice)).status, 200);
}

#[test]
fn ranges_apply_to_get_only() {
    let request = with_method(Method::HEAD, &[("range", "bytes=0-1")]);
    let answer = served(long(100).look(&request));
    assert_eq!(answer.status, 200);
    assert_eq!(text(&answer.headers, "content-length"), "100");
}

#[test]
fn ranges_are_ignored_where_the_origin_accepts_none() {
    let rig = Rig::stored(&[("cache-control", "max-age=10"), ("accept-ranges", "none")]);
    assert_eq!(asked(&rig, "bytes=0-1").status, 200);
}

#[test]
fn ranges_are_ignored_while_the_length_is_unknown() {
    let mut rig = Rig::new();
    let outcome = rig.receive(&get(&[]), 200, STORED);
    outcome.apply(&mut rig.variants);
    assert_eq!(rig.variants[0].content(), &Content::Whole { length: None });
    assert_eq!(asked(&rig, "bytes=0-1").status, 200);
}

#[test]
fn several_ranges_are_sent_in_parts() {
    let rig = long(1000);
    let answer = asked(&rig, "bytes=500-509, 0-1,-1");
    assert_eq!(answer.status, 206);
    assert!(!answer.headers.contains_key("content-range"));
    let kind = text(&answer.headers, "content-type");
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .expect("a boundary");
    let bytes = body(1000);
    let sent = answer
        .body
        .assemble(rig.variants[0].content(), &bytes)
        .expect("the bytes");
    assert_eq!(
        text(&answer.headers, "content-length"),
        sent.len().to_string()
    );
    let mut expected = Vec::new();
    for (number, (first, last)) in [(500, 509), (0, 1), (999, 999)].into_iter().enumerate() {
        let start = if number == 0 { "" } else { "\r\n" };
        expected.extend_from_slice(
            format!(
                "{start}--{boundary}\r\nContent-Type: text/plain\r\n\
                 Content-Range: bytes {first}-{last}/1000\r\n\r\n"
            )
            .as_bytes(),
        );
        expected.extend_from_slice(&bytes[first..=last]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert_eq!(sent, expected);
}

#[test]
fn ranges_that_overlap_or_nearly_touch_become_one() {
    assert_eq!(single(1000, "bytes=0-10,5-20,21-30,60-70"), (0, 70));
    assert_eq!(single(1000, "bytes=300-310,0-10,100-290,11-99"), (0, 310));
}

#[test]
fn more_ranges_than_the_options_allow_are_ignored() {
    let many = |count: u64| {
        let ranges = (0..count).map(|place| format!("{}-{}", place * 200, place * 200));
        format!("bytes={}", ranges.collect::<Vec<_>>().join(","))
    };
    let rig = long(100_000);
    assert_eq!(asked(&rig, &many(16)).status, 206);
    assert_eq!(asked(&rig, &many(17)).status, 200);
    assert_eq!(
        asked(&rig, &format!("bytes={}", "0-,".repeat(1000))).status,
        200
    );
}

#[test]
fn the_boundary_depends_on_the_seed() {
    let boundary = |seed| {
        let mut rig = long(1000);
        rig.cache = SharedCache::new(Options {
            seed,
            ..Options::default()
        });
        text(&asked(&rig, "bytes=0-1,500-501").headers, "content-type").to_owned()
    };
    assert_ne!(boundary(1), boundary(2));
    assert_eq!(boundary(1), boundary(1));
}

#[test]
fn if_range_compares_strongly() {
    let rig = long(100);
    let with = |value| served(rig.get(&[("range", "bytes=0-1"), ("if-range", value)])).status;
    assert_eq!(with("\"a\""), 206);
    assert_eq!(with("\"b\""), 200);
    assert_eq!(with("W/\"a\""), 200);
    assert_eq!(with("a"), 200);
    let weak = Rig::stored(&[("cache-control", "max-age=10"), ("etag", "W/\"a\"")]);
    let answer = served(weak.get(&[("range", "bytes=0-1"), ("if-range", "W/\"a\"")]));
    assert_eq!(answer.status, 200);
}

#[test]
fn if_range_with_a_date_needs_the_very_date_and_a_strong_one() {
    let status = |modified: i64, asked: i64| {
        let modified = date(modified);
        let list = [
            ("cache-control", "max-age=10"),
            ("last-modified", modified.as_str()),
        ];
        let asked = date(asked);
        let request = [("range", "bytes=0-1"), ("if-range", asked.as_str())];
        served(Rig::stored(&list).get(&request)).status.as_u16()
    };
    assert_eq!(status(-50, -50), 206);
    assert_eq!(status(-50, -49), 200);
    assert_eq!(status(0, 0), 200);
}

#[test]
fn if_range_without_range_is_ignored() {
    assert_eq!(served(long(100).get(&[("if-range", "\"b\"")])).status, 200);
}

#[test]
fn a_206_has_the_fields_that_a_200_would_have_had() {
    let answer = asked(&long(100), "bytes=0-1");
    for name in [
        "cache-control",
        "etag",
        "date",
        "age",
        "content-type",
        "content-language",
    ] {
        assert!(answer.headers.contains_key(name), "{name}");
    }
}

#[test]
fn a_206_after_if_range_leaves_out_what_the_client_has() {
    let list = [("range", "bytes=0-1"), ("if-range", "\"a\"")];
    let answer = served(long(100).get(&list));
    for name in ["cache-control", "etag", "date", "age"] {
        assert!(answer.headers.contains_key(name), "{name}");
    }
    for name in ["content-type", "content-language"] {
        assert!(!answer.headers.contains_key(name), "{name}");
    }
}

// --- parts that come from the origin --------------------------------------------------------------

fn part(range: &str, more: Fields<'static>) -> Vec<(&'static str, String)> {
    let mut list = vec![
        ("cache-control", "max-age=1000".into()),
        ("content-range", range.into()),
    ];
    list.extend(
        more.iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    list
}

/// Asks for some range and gets this part of it.
fn receive_part(rig: &mut Rig, range: &str, more: Fields<'static>) -> Outcome {
    let list = part(range, more);
    let list: Vec<(&str, &str)> = list
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let request = get(&[("range", "bytes=0-"), ("cache-control", "no-cache")]);
    let fetch = match rig.look(&request) {
        Decision::Forward(fetch) | Decision::Validate(fetch) => fetch,
        other => panic!("{other:?}"),
    };
    let outcome = rig.receive_for(&request, &fetch, 206, &list);
    rig.apply(&outcome);
    outcome
}

const STRONG: Fields<'static> = &[("etag", "\"a\"")];

#[test]
fn a_part_is_stored_and_serves_ranges_within_it() {
    let mut rig = Rig::new();
    receive_part(&mut rig, "bytes 40-59/100", STRONG);
    let answer = asked(&rig, "bytes=45-49");
    assert_eq!(
        (answer.status.as_u16(), answer.body),
        (206, Body::Span(Span { start: 45, end: 50 }))
    );
    assert_eq!(text(&answer.headers, "content-range"), "bytes 45-49/100");
    assert_eq!(
        rig.variants[0]
            .content()
            .locate(Span { start: 45, end: 50 }),
        Some(5)
    );
}

#[test]
fn a_part_serves_nothing_that_is_not_in_it() {
    let mut rig = Rig::new();
    receive_part(&mut rig, "bytes 40-59/100", STRONG);
    for range in [
        "bytes=39-41",
        "bytes=50-60",
        "bytes=-1",
        "bytes=0-",
        "bytes=41-42,98-99",
    ] {
        assert_eq!(
            forwarded(&rig.get(&[("range", range)])),
            Some(Reason::Partial),
            "{range}"
        );
    }
    assert_eq!(forwarded(&rig.get(&[])), Some(Reason::Partial));
    assert_eq!(asked(&rig, "bytes=100-").status, 416);
}

#[test]
fn a_part_of_unknown_length_serves_only_ranges_with_both_ends() {
    let mut rig = Rig::new();
    receive_part(&mut rig, "bytes 40-59/*", STRONG);
    let answer = asked(&rig, "bytes=45-49");
    assert_eq!(text(&answer.headers, "content-range"), "bytes 45-49/*");
    for range in ["bytes=50-", "bytes=-1", "bytes=50-70", "bytes=100-"] {
        assert_eq!(
            forwarded(&rig.get(&[("range", range)])),
            Some(Reason::Partial),
            "{range}"
        );
    }
}

#[test]
fn a_part_that_is_the_whole_is_the_whole() {
    let mut rig = Rig::new();
    receive_part(&mut rig, "bytes 0-99/100", STRONG);
    let answer = served(rig.get(&[]));
    assert_eq!(
        (
            answer.status.as_u16(),
            text(&answer.headers, "content-length")
        ),
        (200, "100")
    );
    assert!(!answer.headers.contains_key("content-range"));
}

#[test]
fn parts_with_the_same_strong_validator_are_combined() {
    let mut rig = Rig::new();
    receive_part(&mut rig, "bytes 0-49/100", STRONG);
    let outcome = receive_part(&mut rig, "bytes 70-99/100", STRONG);
    assert!(matches!(
        outcome.changes[..],
        [Change::Splice { variant: 0, .. }]
    ));
    assert_eq!(asked(&rig, "bytes=10-19").status, 206);
    assert_eq!(asked(&rig, "bytes=-30").status, 206);
    assert_eq!(forwarded(&rig.get(&[])), Some(Reason::Partial));
    receive_part(
        &mut rig,
        "bytes 50-69/100",
        &[("etag", "\"a\""), ("x", "newest")],
    );
    let answer = served(rig.get(&[]));
    assert_eq!(
        (answer.status.as_u16(), text(&answer.headers, "x")),
        (200, "newest")
    );
    assert_eq!(text(&answer.headers, "content-length"), "100");
}

#[test]
fn parts_with_other_or_weak_validators_are_not_combined() {
    for (first, second) in [
        (&[("etag", "\"a\"")][..], &[("etag", "\"b\"")][..]),
        (&[("etag", "W/\"a\"")], &[("etag", "W/\"a\"")]),
        (&[("etag", "\"a\"")], &[("etag", "W/\"a\"")]),
        (&[("x", "1")], &[("x", "1")]),
        (
            &[("etag", "\"a\"")],
            &[("etag", "\"a\""), ("content-encoding", "gzip")],
        ),
    ] {
        let mut rig = Rig::new();
        receive_part(&mut rig, "bytes 0-49/100", first);
        let outcome = receive_part(&mut rig, "bytes 50-99/100", second);
        assert!(
            matches!(outcome.changes.last(), Some(Change::Insert(_))),
            "{second:?}"
        );
        assert_eq!(rig.variants.len(), 1);
        assert_eq!(forwarded(&rig.get(&[])), Some(Reason::Partial));
    }
}

#[test]
fn parts_that_disagree_about_the_length_are_not_combined() {
    let mut rig = Rig::new();
    receive_part(&mut rig, "bytes 0-49/100", STRONG);
    let outcome = receive_part(&mut rig, "bytes 50-98/99", STRONG);
    assert!(matches!(outcome.changes.last(), Some(Change::Insert(_))));
}

#[test]
fn parts_are_combined_by_a_date_only_if_it_is_strong() {
    let combined = |modified: i64, dates: [i64; 2]| {
        let modified = date(modified);
        let mut rig = Rig::new();
        let ranges = ["bytes 0-49/100", "bytes 50-99/100"];
        for (range, made) in ranges.into_iter().zip(dates.map(date)) {
            let request = get(&[("range", "bytes=0-"), ("cache-control", "no-cache")]);
            let list = [
                ("cache-control", "max-age=10"),
                ("content-range", range),
                ("date", made.as_str()),
                ("last-modified", modified.as_str()),
            ];
            rig.fill(&request, 206, &list);
        }
        rig.variants[0].content().is_whole()
    };
    assert!(combined(-50, [0, 0]));
    assert!(!combined(0, [0, 0]));
    assert!(
        !combined(0, [0, 9]),
        "the former was made in the second of the change"
    );
}

#[test]
fn a_part_leaves_a_whole_of_the_same_representation_whole() {
    let mut rig = long(100);
    let outcome = receive_part(
        &mut rig,
        "bytes 0-49/100",
        &[("etag", "\"a\""), ("x", "new")],
    );
    assert!(matches!(
        outcome.changes[..],
        [Change::Update { variant: 0, .. }]
    ));
    assert_eq!(text(&served(rig.get(&[])).headers, "x"), "new");
}

#[test]
fn a_206_that_cannot_be_placed_is_not_stored() {
    let refused = |list: Fields<'_>, request: Fields<'_>| {
        let mut all = vec![("cache-control", "max-age=10"), ("etag", "\"a\"")];
        all.extend_from_slice(list);
        Rig::new().receive(&get(request), 206, &all).refusal
    };
    let range = [("range", "bytes=0-9")];
    assert_eq!(refused(&[("content-range", "bytes 0-9/100")], &range), None);
    for value in [
        "bytes 0-9/5",
        "bytes 9-0/100",
        "bytes */100",
        "bytes a-b/c",
        "items 0-9/100",
        "0-9/100",
        "bytes 0-9",
        "bytes 0-99999999999999999999/*",
        "",
    ] {
        assert_eq!(
            refused(&[("content-range", value)], &range),
            Some(Refusal::Part),
            "{value}"
        );
    }
    assert_eq!(refused(&[], &range), Some(Refusal::Part));
    assert_eq!(
        refused(&[("content-range", "bytes 0-9/100")], &[]),
        Some(Refusal::Part)
    );
    let long = [("content-range", "bytes 0-9/100"), ("content-length", "11")];
    assert_eq!(refused(&long, &range), Some(Refusal::Part));
    let several = [
        ("content-type", "Multipart/Byteranges; boundary=x"),
        ("content-range", "bytes 0-9/100"),
    ];
    assert_eq!(refused(&several, &range), Some(Refusal::Part));
}

#[test]
fn a_200_to_a_range_request_is_stored_whole() {
    let mut rig = Rig::new();
    rig.fill(&get(&[("range", "bytes=0-1")]), 200, STORED);
    assert_eq!(served(rig.get(&[])).status, 200);
}

#[test]
fn a_range_of_something_that_is_not_stored_is_forwarded_as_it_is() {
    let fetch = Rig::new().fetch(&get(&[("range", "bytes=0-1"), ("if-range", "\"x\"")]));
    assert_eq!(text(&fetch.headers, "range"), "bytes=0-1");
    assert_eq!(text(&fetch.headers, "if-range"), "\"x\"");
}

#[test]
fn a_part_that_breaks_off_is_a_smaller_part() {
    let mut rig = Rig::new();
    receive_part(&mut rig, "bytes 40-59/100", STRONG);
    let part = rig.variants.remove(0);
    assert_eq!(part.clone().complete(20), Some(part.clone()));
    let less = part.complete(5).expect("a part");
    let spans = vec![Span { start: 40, end: 45 }];
    assert_eq!(
        less.content(),
        &Content::Part {
            spans,
            length: Some(100)
        }
    );
}

#[test]
fn too_many_pieces_are_not_kept() {
    let mut rig = Rig::new();
    for piece in 0..=crate::MAX_SPANS {
        let range = format!("bytes {}-{}/10000", piece * 10, piece * 10 + 1);
        receive_part(&mut rig, &range, STRONG);
    }
    let Content::Part { spans, .. } = rig.variants[0].content() else {
        panic!("a part")
    };
    assert_eq!(spans.len(), 1);
}

#[test]
fn a_204_has_no_length_and_no_body() {
    let mut rig = Rig::new();
    rig.fill(&get(&[]), 204, &[("cache-control", "max-age=10")]);
    let answer = served(rig.get(&[]));
    assert!(!answer.headers.contains_key("content-length"));
    assert_eq!(answer.body, Body::Empty);
}

#[test]
fn ranges_that_become_one_are_sent_in_the_place_of_the_first() {
    let Body::Multipart(multipart) = asked(&long(1000), "bytes=0-1,500-501,5-6").body else {
        panic!("two parts")
    };
    let starts: Vec<u64> = multipart.parts.iter().map(|(_, span)| span.start).collect();
    assert_eq!(starts, [0, 500]);
}

#[test]
fn a_part_that_comes_with_credentials_needs_leave_for_as_long_as_it_is_kept() {
    let mut rig = Rig::new();
    let first = [("range", "bytes=0-"), ("cache-control", "no-cache")];
    let second = [
        ("range", "bytes=0-"),
        ("cache-control", "no-cache"),
        ("authorization", "x"),
    ];
    for (request, range) in [(&first[..], "bytes 0-49/100"), (&second, "bytes 50-99/100")] {
        let list = [
            ("cache-control", "public, max-age=10"),
            ("content-range", range),
            ("etag", "\"a\""),
        ];
        rig.fill(&get(request), 206, &list);
    }
    assert!(is_hit(&rig.get(&[])));
    let list = [("etag", "\"a\""), ("cache-control", "max-age=10")];
    rig.later(20).fill(&get(&[]), 304, &list);
    assert!(rig.variants.is_empty());
}

#[test]
fn where_two_parts_have_the_same_byte_the_newer_one_counts() {
    let part = |start, end| Span { start, end };
    let content = Content::Part {
        spans: vec![part(0, 4), part(6, 8)],
        length: None,
    };
    let (old, new) = (Bytes::from_static(b"aaaaaa"), Bytes::from_static(b"bbbbb"));
    let spliced = content.splice(&old, part(2, 7), None, &new);
    let expected = Content::Part {
        spans: vec![part(0, 8)],
        length: None,
    };
    assert_eq!(spliced, Some((expected, Bytes::from_static(b"aabbbbba"))));
    assert_eq!(
        content.splice(&old, part(2, 8), None, &new),
        None,
        "it is shorter than its span"
    );
}

#[test]
fn a_part_does_not_make_good_what_is_invalid() {
    let mut rig = Rig::new();
    receive_part(&mut rig, "bytes 0-49/100", STRONG);
    rig.variants = rig.variants.into_iter().map(Stored::invalidated).collect();
    receive_part(&mut rig, "bytes 50-99/100", STRONG);
    assert!(!rig.variants[0].content().is_whole());
}

#[test]
fn the_tag_of_a_part_is_sent_only_for_ranges_within_it() {
    let list = [
        ("cache-control", "max-age=10, stale-while-revalidate=10"),
        ("content-range", "bytes 40-59/100"),
        ("etag", "\"a\""),
        ("last-modified", &date(-50)),
    ];
    let mut rig = Rig::new();
    rig.fill(&get(&[("range", "bytes=40-59")]), 206, &list);
    let Decision::ServeStale { revalidate, .. } = rig.later(15).get(&[("range", "bytes=41-42")])
    else {
        panic!("served stale")
    };
    assert!(!revalidate.is_conditional() && !revalidate.headers.contains_key("range"));
    rig.later(15);
    let fetch = validation(rig.get(&[("range", "bytes=41-42")]));
    assert_eq!(text(&fetch.headers, "if-none-match"), "\"a\"");
    for list in [
        &[][..],
        &[("range", "bytes=0-1")],
        &[("if-none-match", "\"a\"")],
        &[("if-modified-since", &date(0))],
        &[("range", "bytes=200-")],
    ] {
        let Decision::Forward(fetch) = rig.get(list) else {
            panic!("{list:?}")
        };
        assert!(!fetch.is_conditional(), "{list:?}");
    }
}
