//! RFC 9213: fields that are for this cache only.

use super::*;
use crate::Refusal;

/// For how long a response with this `CDN-Cache-Control` is fresh, beside `Cache-Control: max-age=1`.
fn ttl(cdn: &str) -> i64 {
    let list = [
        ("cache-control", "max-age=1"),
        ("cdn-cache-control", cdn),
        ("etag", "\"a\""),
    ];
    let rig = Rig::stored(&list);
    if rig.variants[0].is_fresh(at(0)) {
        rig.variants[0].ttl(at(0))
    } else {
        0
    }
}

#[test]
fn a_targeted_field_takes_the_place_of_cache_control() {
    assert_eq!(ttl("max-age=60"), 60);
    assert_eq!(ttl("max-age=0"), 0);
    assert_eq!(ttl("max-age=60, no-cache"), 0);
    assert!(Rig::stores(
        &[],
        200,
        &[
            ("cache-control", "no-store"),
            ("cdn-cache-control", "max-age=9")
        ]
    ));
    for forbids in ["no-store", "private", "max-age=9, no-store"] {
        let list = [
            ("cache-control", "max-age=99"),
            ("cdn-cache-control", forbids),
        ];
        assert!(!Rig::stores(&[], 200, &list), "{forbids}");
    }
}

#[test]
fn expires_counts_for_nothing_beside_a_targeted_field() {
    let list = [
        ("expires", date(99)),
        ("cdn-cache-control", "must-revalidate".into()),
    ];
    let list: Vec<_> = list
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let mut all = list.clone();
    all.push(("etag", "\"a\""));
    assert_eq!(Rig::stored(&all).variants[0].ttl(at(0)), 0);
}

#[test]
fn a_targeted_field_that_is_malformed_is_ignored() {
    for bad in [
        "max-age=10000, &&&",
        "max-age =60",
        "max-age= 60",
        "MaX-aGe=60",
        "max-age=60,",
        "\"x\"",
        "max-age=\"6",
    ] {
        assert_eq!(ttl(bad), 1, "{bad}");
    }
}

#[test]
fn a_targeted_field_with_a_value_of_a_wrong_type_is_ignored() {
    for bad in [
        "max-age=\"60\"",
        "max-age=60.0",
        "max-age",
        "max-age=?1",
        "no-store=1",
        "no-store=()",
    ] {
        assert_eq!(ttl(bad), 1, "{bad}");
    }
}

#[test]
fn a_targeted_field_that_is_empty_is_ignored() {
    assert_eq!(ttl(""), 1);
    assert_eq!(ttl("  "), 1);
}

#[test]
fn the_last_of_several_values_counts_as_in_any_dictionary() {
    assert_eq!(ttl("max-age=5, max-age=60"), 60);
    let list = [
        ("cdn-cache-control", "max-age=5"),
        ("cdn-cache-control", "max-age=60"),
        ("etag", "\"a\""),
    ];
    assert_eq!(Rig::stored(&list).variants[0].ttl(at(0)), 60);
}

#[test]
fn parameters_and_unknown_directives_are_ignored() {
    assert_eq!(
        ttl("max-age=60;x=y, foo, bar=(a b), baz=1.5, qux=:AA==:"),
        60
    );
}

#[test]
fn a_directive_that_is_false_is_not_there() {
    assert_eq!(ttl("max-age=60, no-store=?0"), 60);
}

#[test]
fn negative_and_excessive_lifetimes_are_those_of_cache_control() {
    assert_eq!(ttl("max-age=-1"), 0);
    assert_eq!(ttl("max-age=99999999999"), 1 << 31);
}

#[test]
fn names_of_fields_may_be_text_token_or_list() {
    for private in ["\"x-one, x-two\"", "(\"x-one\" x-two)"] {
        let control = format!("max-age=60, private={private}");
        let rig = Rig::stored(&[
            ("cdn-cache-control", &control),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
        ]);
        let names = ["x-one", "x-two", "x-three"];
        let kept = names.map(|name| rig.variants[0].headers().contains_key(name));
        assert_eq!(kept, [false, false, true], "{private}");
    }
    let list = [("cdn-cache-control", "max-age=60, private=(1 2)")];
    assert_eq!(
        Rig::new().receive(&get(&[]), 200, &list).refusal,
        Some(Refusal::Private)
    );
}

#[test]
fn the_first_of_the_listed_fields_that_is_there_counts() {
    let names = ["example-cache-control", "cdn-cache-control"];
    let targeted = names.map(HeaderName::from_static).to_vec();
    let ttl = |list: Fields<'_>| {
        let mut rig = Rig::with(Options {
            targeted: targeted.clone(),
            ..Options::default()
        });
        let mut all = vec![("cache-control", "max-age=1"), ("etag", "\"a\"")];
        all.extend_from_slice(list);
        rig.fill(&get(&[]), 200, &all);
        rig.variants[0].ttl(at(0))
    };
    let (own, cdn) = ("example-cache-control", "cdn-cache-control");
    assert_eq!(ttl(&[(cdn, "max-age=5"), (own, "max-age=9")]), 9);
    assert_eq!(ttl(&[(cdn, "max-age=5"), (own, "&")]), 5);
    assert_eq!(ttl(&[(cdn, "max-age=5")]), 5);
    assert_eq!(ttl(&[]), 1);
}

#[test]
fn a_targeted_field_that_is_not_listed_is_nothing_special() {
    let mut rig = Rig::with(Options {
        targeted: Vec::new(),
        ..Options::default()
    });
    let list = [
        ("cache-control", "max-age=1"),
        ("cdn-cache-control", "max-age=60"),
    ];
    rig.fill(&get(&[]), 200, &list);
    assert_eq!(rig.variants[0].ttl(at(0)), 1);
}

#[test]
fn no_transform_of_either_field_is_kept_to() {
    let list = [
        ("cache-control", "no-transform"),
        ("cdn-cache-control", "max-age=60"),
    ];
    assert!(Rig::stored(&list).variants[0].no_transform());
}
