//! RFC 9111, 4.2: how long a response is fresh, and how old it is.

use super::*;
use crate::MAX_DELTA;

/// For how long a response with these fields is fresh, in seconds after its arrival.
fn fresh_for(list: Fields<'_>) -> i64 {
    fresh_with(Options::default(), 200, list)
}

fn fresh_with(options: Options, status: u16, list: Fields<'_>) -> i64 {
    let mut all = vec![("etag", "\"a\"")];
    all.extend_from_slice(list);
    let mut rig = Rig::with(options);
    rig.fill(&get(&[]), status, &all);
    let stored = rig
        .variants
        .first()
        .unwrap_or_else(|| panic!("not stored: {list:?}"));
    let ttl = stored.ttl(at(0));
    assert_eq!(stored.is_fresh(at(ttl - 1)), ttl > 0, "until then");
    assert!(!stored.is_fresh(at(ttl)), "and no longer");
    ttl.max(0)
}

#[test]
fn a_response_is_fresh_while_its_lifetime_exceeds_its_age() {
    let mut rig = Rig::stored(&[("cache-control", "max-age=10"), ("etag", "\"a\"")]);
    assert!(is_hit(&rig.later(9).get(&[])));
    validation(rig.later(1).get(&[]));
}

#[test]
fn s_maxage_goes_before_max_age_and_max_age_before_expires() {
    assert_eq!(
        fresh_for(&[("cache-control", "max-age=10, s-maxage=20")]),
        20
    );
    assert_eq!(
        fresh_for(&[("cache-control", "max-age=10"), ("expires", &date(99))]),
        10
    );
    assert_eq!(fresh_for(&[("expires", &date(99))]), 99);
    assert_eq!(
        fresh_for(&[("cache-control", "max-age=0"), ("expires", &date(99))]),
        0
    );
    assert_eq!(fresh_for(&[("cache-control", "s-maxage=0, max-age=10")]), 0);
}

#[test]
fn expires_counts_from_date() {
    assert_eq!(
        fresh_for(&[("expires", &date(50)), ("date", &date(20))]),
        30
    );
    assert_eq!(fresh_for(&[("expires", &date(20)), ("date", &date(50))]), 0);
}

#[test]
fn an_invalid_expires_has_expired() {
    for expires in [
        "0",
        "-1",
        "",
        "tomorrow",
        "Sun, 09 Sep 2001 01:46:60",
        "1000009999",
    ] {
        assert_eq!(fresh_for(&[("expires", expires)]), 0, "{expires}");
    }
}

#[test]
fn expires_in_another_zone_has_expired() {
    for zone in ["CET", "UTC", "+0000", "EST"] {
        let expires = date(99).replace("GMT", zone);
        assert_eq!(fresh_for(&[("expires", &expires)]), 0, "{zone}");
    }
}

#[test]
fn dates_are_read_in_any_case_and_form() {
    let expires = date(99);
    assert_eq!(fresh_for(&[("expires", &expires.to_lowercase())]), 99);
    assert_eq!(fresh_for(&[("expires", &expires.to_uppercase())]), 99);
    assert_eq!(
        fresh_for(&[("expires", "Sunday, 09-Sep-01 01:48:19 GMT")]),
        99
    );
    assert_eq!(fresh_for(&[("expires", "Sun Sep  9 01:48:19 2001")]), 99);
}

#[test]
fn several_values_that_differ_are_stale() {
    assert_eq!(fresh_for(&[("cache-control", "max-age=10, max-age=20")]), 0);
    assert_eq!(
        fresh_for(&[
            ("cache-control", "max-age=10"),
            ("cache-control", "max-age=9")
        ]),
        0
    );
    assert_eq!(
        fresh_for(&[("expires", &date(10)), ("expires", &date(20))]),
        0
    );
    assert_eq!(
        fresh_for(&[("cache-control", "max-age=10, max-age=10")]),
        10
    );
}

#[test]
fn invalid_lifetimes_are_stale() {
    for value in ["", "a", "1.0", "-1", "'9'", "\"9", "9a", "0x9", "\" 9\""] {
        assert_eq!(
            fresh_for(&[("cache-control", &format!("max-age={value}"))]),
            0,
            "{value}"
        );
        let expires = [("cache-control", format!("s-maxage={value}, max-age=9"))];
        assert_eq!(fresh_for(&[("cache-control", &expires[0].1)]), 0, "{value}");
    }
    for control in ["max-age", "max-age =9", "max-age= 9"] {
        assert_eq!(fresh_for(&[("cache-control", control)]), 0, "{control}");
    }
}

#[test]
fn a_lifetime_may_be_quoted() {
    assert_eq!(fresh_for(&[("cache-control", "max-age=\"10\"")]), 10);
    assert_eq!(fresh_for(&[("cache-control", "max-age=0010")]), 10);
}

#[test]
fn what_stands_in_a_quoted_string_is_no_directive() {
    assert_eq!(
        fresh_for(&[("cache-control", "x=\"max-age=99\", max-age=1")]),
        1
    );
    assert_eq!(
        fresh_for(&[("cache-control", "max-age=1, x=\"\\\", max-age=99, \"")]),
        1
    );
}

#[test]
fn a_number_that_is_too_large_becomes_the_largest() {
    let largest = i64::try_from(MAX_DELTA).expect("fits");
    for value in [
        "2147483648",
        "99999999999",
        "99999999999999999999999999999999",
    ] {
        assert_eq!(
            fresh_for(&[("cache-control", &format!("max-age={value}"))]),
            largest
        );
    }
    assert_eq!(
        fresh_for(&[
            ("cache-control", "max-age=99"),
            ("age", "99999999999999999999")
        ]),
        0
    );
}

#[test]
fn a_tenth_of_its_age_is_the_lifetime_if_nothing_says_otherwise() {
    assert_eq!(fresh_for(&[("last-modified", &date(-1000))]), 100);
    assert_eq!(
        fresh_for(&[("last-modified", &date(-1000)), ("date", &date(-10))]),
        89
    );
    assert_eq!(fresh_for(&[("last-modified", &date(1000))]), 0);
    assert_eq!(fresh_for(&[]), 0);
}

#[test]
fn no_lifetime_is_guessed_beside_an_explicit_one() {
    assert_eq!(
        fresh_for(&[
            ("last-modified", &date(-1000)),
            ("cache-control", "max-age=1")
        ]),
        1
    );
    assert_eq!(
        fresh_for(&[("last-modified", &date(-1000)), ("expires", "0")]),
        0
    );
}

#[test]
fn a_guessed_lifetime_is_capped_and_can_be_switched_off() {
    let old = [("last-modified", date(-100_000_000))];
    let old = [("last-modified", old[0].1.as_str())];
    assert_eq!(fresh_for(&old), 24 * 60 * 60);
    let options = Options {
        heuristic_cap: 5,
        ..Options::default()
    };
    assert_eq!(fresh_with(options, 200, &old), 5);
    let options = Options {
        heuristics: false,
        ..Options::default()
    };
    assert_eq!(fresh_with(options, 200, &old), 0);
}

#[test]
fn no_lifetime_is_guessed_for_statuses_that_do_not_allow_it() {
    let modified = date(-1000);
    let list = [("last-modified", modified.as_str())];
    assert_eq!(fresh_with(Options::default(), 404, &list), 100);
    assert!(!Rig::stores(&[], 302, &list));
    let list = [
        ("last-modified", modified.as_str()),
        ("cache-control", "public"),
    ];
    assert_eq!(fresh_with(Options::default(), 302, &list), 100);
}

#[test]
fn the_age_field_makes_a_response_older() {
    assert_eq!(
        fresh_for(&[("cache-control", "max-age=10"), ("age", "4")]),
        6
    );
    assert_eq!(
        fresh_for(&[("cache-control", "max-age=10"), ("age", "10")]),
        0
    );
}

#[test]
fn of_several_ages_the_first_counts() {
    assert_eq!(
        fresh_for(&[("cache-control", "max-age=10"), ("age", "4, 9")]),
        6
    );
    assert_eq!(
        fresh_for(&[("cache-control", "max-age=10"), ("age", "4"), ("age", "9")]),
        6
    );
}

#[test]
fn an_invalid_age_is_ignored() {
    for age in ["-1", "a", "", "9.5", "7a"] {
        assert_eq!(
            fresh_for(&[("cache-control", "max-age=10"), ("age", age)]),
            10,
            "{age}"
        );
    }
}

#[test]
fn a_date_in_the_past_makes_a_response_older() {
    assert_eq!(
        fresh_for(&[("cache-control", "max-age=10"), ("date", &date(-4))]),
        6
    );
    assert_eq!(
        fresh_for(&[
            ("cache-control", "max-age=10"),
            ("date", &date(-4)),
            ("age", "7")
        ]),
        3
    );
    assert_eq!(
        fresh_for(&[("cache-control", "max-age=10"), ("date", &date(60))]),
        10
    );
}

#[test]
fn the_time_on_the_way_makes_a_response_older() {
    let rig = Rig::new();
    let fetch = rig.fetch(&get(&[]));
    let times = Times {
        request: at(0),
        response: at(3),
    };
    let list = [
        ("cache-control", "max-age=10"),
        ("age", "2"),
        ("date", &date(3)),
    ];
    let came = response(200, &list);
    let outcome = rig.cache.on_response(&get(&[]), &fetch, &came, times, &[]);
    let [Change::Insert(stored)] = &outcome.changes[..] else {
        panic!("it is stored")
    };
    assert_eq!(stored.age(at(3)), 5);
    assert_eq!(stored.age(at(7)), 9);
}

#[test]
fn the_time_in_the_cache_is_part_of_the_age_that_is_sent() {
    let mut rig = Rig::stored(&[("cache-control", "max-age=10"), ("age", "4"), ("age", "x")]);
    let answer = served(rig.later(3).get(&[]));
    assert_eq!(text(&answer.headers, "age"), "7");
    assert_eq!(answer.headers.get_all("age").iter().count(), 1);
}

#[test]
fn a_clock_that_goes_back_makes_nothing_younger() {
    let rig = Rig::stored(&[("cache-control", "max-age=10"), ("age", "4")]);
    assert_eq!(rig.variants[0].age(at(-500)), 4);
}

#[test]
fn immutable_changes_nothing_for_a_shared_cache() {
    let list = [
        ("cache-control", "max-age=10, immutable"),
        ("etag", "\"a\""),
    ];
    let mut rig = Rig::stored(&list);
    validation(rig.get(&[("cache-control", "no-cache")]));
    validation(rig.later(10).get(&[]));
}

#[test]
fn what_is_kept_for_later_is_known() {
    let mut rig = Rig::stored(&[(
        "cache-control",
        "max-age=10, stale-if-error=30, stale-while-revalidate=5",
    )]);
    assert_eq!(rig.later(4).variants[0].servable_for(at(4)), 36);
    rig = Rig::stored(&[(
        "cache-control",
        "max-age=10, stale-if-error=30, must-revalidate",
    )]);
    assert_eq!(rig.variants[0].servable_for(at(4)), 6);
}
