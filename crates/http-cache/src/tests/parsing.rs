//! What is read from fields, and what is written.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::etag::{EntityTag, TagList};
use crate::{Argument, DecodeError, Delta, Directives, Scope};

fn seconds(text: &str) -> Option<i64> {
    Timestamp::parse(text.as_bytes(), at(0)).map(Timestamp::as_unix)
}

#[test]
fn the_three_forms_of_a_date_are_read() {
    let expected = Some(784_111_777);
    assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), expected);
    assert_eq!(seconds("Sunday, 06-Nov-94 08:49:37 GMT"), expected);
    assert_eq!(seconds("Sun Nov  6 08:49:37 1994"), expected);
    assert_eq!(seconds(" Sun, 06 Nov 1994 08:49:37 GMT\t"), expected);
}

#[test]
fn what_is_no_date_is_refused() {
    for text in [
        "",
        "0",
        "Sun",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT+1",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 1900 00:00:00 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:00:61 GMT",
        "Xun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nix 1994 08:49:37 GMT",
        "Sun,06 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sun, 06 Nov 1994 08.49.37 GMT",
        "1994-11-06T08:49:37Z",
        "Sun Nov é6 08:49:37 1994",
    ] {
        assert_eq!(seconds(text), None, "{text}");
    }
}

#[test]
fn a_leap_second_and_a_leap_day_are_dates() {
    assert_eq!(
        seconds("Sat, 31 Dec 2016 23:59:60 GMT"),
        seconds("Sat, 31 Dec 2016 23:59:59 GMT")
    );
    assert!(seconds("Tue, 29 Feb 2000 00:00:00 GMT").is_some());
}

#[test]
fn a_year_of_two_digits_lies_at_most_50_years_ahead() {
    let read = |text: &str, year: &str| {
        let now = format!("Fri, 15 Jun {year} 00:00:00 GMT");
        let now = Timestamp::parse(now.as_bytes(), at(0)).expect("a date");
        Timestamp::parse(text.as_bytes(), now).map(Timestamp::format)
    };
    for (year, now, expected) in [
        ("94", "2001", "1994"),
        ("30", "2001", "2030"),
        ("50", "2001", "2050"),
        ("52", "2001", "1952"),
        ("01", "1999", "2001"),
        ("99", "2001", "1999"),
        ("70", "2026", "2070"),
        ("80", "2026", "1980"),
        ("10", "2090", "2110"),
    ] {
        let text = format!("Sunday, 06-Nov-{year} 08:49:37 GMT");
        let found = read(&text, now).expect("a date");
        assert!(
            found.contains(&format!("Nov {expected}")),
            "{year} in {now} is {found}"
        );
    }
}

#[test]
fn times_of_the_system_are_cut_to_seconds() {
    let time = UNIX_EPOCH + Duration::from_millis(1_999);
    assert_eq!(Timestamp::from(time), Timestamp::from_unix(1));
    let time: SystemTime = UNIX_EPOCH - Duration::from_millis(1_500);
    assert_eq!(Timestamp::from(time), Timestamp::from_unix(-2));
}

fn directives(text: &str) -> Directives {
    Directives::of(&fields(&[("cache-control", text)]))
}

#[test]
fn directives_are_read_with_their_arguments() {
    let read = directives(" Max-Age=5 ,, x=\"a, \\\"b\\\"\", no-store,y=,z=\"a\"b");
    let found: Vec<_> = read
        .iter()
        .map(|directive| (directive.name.as_str(), directive.argument.clone()))
        .collect();
    let text = |text: &str| Argument::Text(text.into());
    assert_eq!(
        found,
        [
            ("max-age", text("5")),
            ("x", text("a, \"b\"")),
            ("no-store", Argument::None),
            ("y", Argument::Invalid),
            ("z", Argument::Invalid),
        ]
    );
}

#[test]
fn an_unclosed_quote_ends_with_its_line() {
    let read = Directives::of(&fields(&[
        ("cache-control", "x=\"a"),
        ("cache-control", "no-store"),
    ]));
    assert!(read.has("no-store"));
}

#[test]
fn seconds_are_digits_alone() {
    assert_eq!(directives("max-age=7").delta("max-age"), Delta::Seconds(7));
    assert_eq!(directives("max-age").delta("max-age"), Delta::Bare);
    assert_eq!(directives("max-age=+7").delta("max-age"), Delta::Invalid);
    assert_eq!(directives("x").delta("max-age"), Delta::Absent);
}

#[test]
fn names_of_fields_are_those_of_all_directives_of_a_name() {
    let Scope::Fields(names) = directives("private=\"a\", private=b").scope("private") else {
        panic!("fields")
    };
    assert_eq!(names, ["a", "b"]);
    assert_eq!(
        directives("private=\"a\", private").scope("private"),
        Scope::Whole
    );
}

#[test]
fn entity_tags_are_read_exactly() {
    let read = |text: &str| EntityTag::parse(text.as_bytes()).map(|tag| tag.weak);
    assert_eq!(read("\"a\""), Some(false));
    assert_eq!(read("W/\"\""), Some(true));
    for text in [
        "", "a", "\"a", "a\"", "w/\"a\"", "W/a", "\"a\"b", "\"a b\"", "\"\"\"",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}

#[test]
fn a_long_list_of_entity_tags_is_read_to_its_end() {
    let long = "\"x\",".repeat(5000) + "\"y\"";
    let lines = [HeaderValue::from_str(&long).expect("a value")];
    let list = TagList::parse(lines.iter());
    assert!(list.matches_weakly(EntityTag::parse(b"\"y\"")));
    assert!(!list.matches_weakly(EntityTag::parse(b"\"z\"")));
    assert!(!list.matches_weakly(None));
}

#[test]
fn what_was_stored_by_another_version_is_refused() {
    let cache = SharedCache::default();
    let rig = Rig::stored(&[("cache-control", "max-age=9")]);
    let mut bytes = rig.variants[0].encode();
    assert_eq!(cache.decode(&bytes).as_ref(), Ok(&rig.variants[0]));
    bytes[0] = 9;
    assert_eq!(cache.decode(&bytes), Err(DecodeError::Version(9)));
    assert_eq!(cache.decode(&[]), Err(DecodeError::Malformed));
}

#[test]
fn bytes_that_are_cut_or_too_many_are_no_stored_response() {
    let cache = SharedCache::default();
    let list = [
        ("cache-control", "max-age=9"),
        ("x-other", "1"),
        ("vary", "foo"),
    ];
    let bytes = Rig::stored(&list).variants[0].encode();
    for end in 0..bytes.len() {
        assert!(cache.decode(&bytes[..end]).is_err(), "{end}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(cache.decode(&longer), Err(DecodeError::Malformed));
}

#[test]
fn flags_that_nobody_wrote_are_refused() {
    let bytes = Rig::stored(&[("cache-control", "max-age=9")]).variants[0].encode();
    // After the version: locator, status and two times of five bytes each.
    let place = 1 + 1 + 2 + 5 + 5;
    for flags in 0..=255 {
        let mut changed = bytes.clone();
        changed[place] = flags;
        let read = SharedCache::default().decode(&changed);
        assert_eq!(read.is_ok(), flags < 4, "{flags}");
    }
}

#[test]
fn what_is_stored_is_small() {
    let list = [
        ("cache-control", "max-age=9"),
        ("etag", "\"a\""),
        ("date", &date(0)),
    ];
    let bytes = Rig::stored(&list).variants[0].encode();
    assert!(bytes.len() < 80, "{} bytes", bytes.len());
}

#[test]
fn a_number_that_is_too_long_is_no_number() {
    let mut bytes = vec![1];
    bytes.extend([0xff; 9]);
    let rest = Rig::stored(&[("cache-control", "max-age=9")]).variants[0].encode();
    // The locator is the first number, and was nought in one byte.
    for (last, read) in [(1, true), (3, false), (0x81, false)] {
        let mut whole = bytes.clone();
        whole.push(last);
        whole.extend_from_slice(&rest[2..]);
        assert_eq!(
            SharedCache::default().decode(&whole).is_ok(),
            read,
            "{last}"
        );
    }
}

#[test]
fn all_variants_of_a_key_are_one_value() {
    let cache = SharedCache::default();
    let mut rig = Rig::new();
    for foo in ["1", "2"] {
        rig.fill(
            &get(&[("foo", foo)]),
            200,
            &[("cache-control", "max-age=9"), ("vary", "foo")],
        );
    }
    let bytes = cache.encode_variants(&rig.variants);
    assert_eq!(cache.decode_variants(&bytes), Ok(rig.variants.clone()));
    assert_eq!(
        cache.decode_variants(&cache.encode_variants(&[])),
        Ok(Vec::new())
    );
    for end in 0..bytes.len() {
        assert!(cache.decode_variants(&bytes[..end]).is_err(), "{end}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(cache.decode_variants(&longer), Err(DecodeError::Malformed));
    // A count that nothing stands behind costs nothing.
    let many = [1, 0xff, 0xff, 0xff, 0xff, 0x0f];
    assert_eq!(cache.decode_variants(&many), Err(DecodeError::Malformed));
    assert!(rig.variants[0].weight() > 20);
}
