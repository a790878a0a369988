//! What holds for all inputs.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::range::Ranges;
use crate::{Argument, Body, Content, Directive, Directives, MAX_DELTA, Refusal, Span};

fn token() -> impl Strategy<Value = String> {
    "[a-z0-9!#$%&'*+.^_`|~-]{1,12}"
}

fn argument() -> impl Strategy<Value = Argument> {
    prop_oneof![
        Just(Argument::None),
        token().prop_map(Argument::Text),
        "[ -~]{0,16}".prop_map(Argument::Text),
        any::<u64>().prop_map(|number| Argument::Text(number.to_string())),
        Just(Argument::Invalid),
    ]
}

fn directive() -> impl Strategy<Value = Directive> {
    let known = prop::sample::select(vec![
        "max-age",
        "s-maxage",
        "no-cache",
        "no-store",
        "private",
        "public",
        "must-revalidate",
        "proxy-revalidate",
        "must-understand",
        "no-transform",
        "stale-while-revalidate",
        "stale-if-error",
        "max-stale",
        "min-fresh",
        "only-if-cached",
        "immutable",
    ]);
    let name = prop_oneof![3 => known.prop_map(str::to_owned), 1 => token()];
    (name, argument()).prop_map(|(name, argument)| Directive { name, argument })
}

fn printed(list: &[Directive]) -> String {
    let mut directives = Directives::default();
    list.iter()
        .cloned()
        .for_each(|directive| directives.push(directive));
    directives.to_string()
}

/// Names and values of fields, those that matter to a cache more often than others.
fn field() -> impl Strategy<Value = (String, String)> {
    let seconds = -100_000_i64..100_000;
    let dated = prop::sample::select(vec![
        "date",
        "expires",
        "last-modified",
        "if-modified-since",
    ]);
    let number = prop::sample::select(vec!["age", "content-length"]);
    let tagged = prop::sample::select(vec!["etag", "if-none-match", "if-range", "if-match"]);
    let listed = prop::sample::select(vec!["vary", "connection"]);
    let tag = "(W/)?\"[a-c]{0,2}\"";
    let names = "(foo|bar|accept-encoding|etag|[*]|cookie)(, (foo|authorization))?";
    let controls = vec(directive(), 0..5).prop_map(|list| printed(&list));
    prop_oneof![
        4 => controls.prop_map(|text| ("cache-control".into(), text)),
        1 => vec(directive(), 0..5).prop_map(|list| ("cdn-cache-control".into(), printed(&list))),
        2 => (dated, seconds).prop_map(|(name, seconds)| (name.into(), date(seconds))),
        1 => (number, any::<u32>()).prop_map(|(name, number)| (name.into(), number.to_string())),
        2 => (tagged, tag).prop_map(|(name, tag)| (name.into(), tag)),
        1 => (listed, names).prop_map(|(name, names)| (name.into(), names)),
        1 => (0..20_u64, 0..20_u64, 0..30_u64).prop_map(|(first, more, length)| {
            ("content-range".into(), format!("bytes {first}-{}/{length}", first + more))
        }),
        1 => (0..20_u64, 0..20_u64).prop_map(|(first, more)| {
            ("range".into(), format!("bytes={first}-{}", first + more))
        }),
        1 => ("(set-cookie|cookie|authorization|pragma|foo|bar|accept-encoding)", "[ -~]{0,8}"),
        1 => (token(), "[ -~]{0,8}"),
    ]
}

fn message() -> impl Strategy<Value = Vec<(String, String)>> {
    vec(field(), 0..8)
}

fn borrowed(list: &[(String, String)]) -> Vec<(&str, &str)> {
    list.iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

fn status() -> impl Strategy<Value = u16> {
    prop::sample::select(vec![
        200, 200, 200, 203, 204, 206, 206, 301, 302, 304, 304, 404, 416, 500, 503,
    ])
}

proptest! {
    #[test]
    fn dates_are_read_as_they_were_written(seconds in -62_135_596_800_i64..253_402_300_800) {
        let time = Timestamp::from_unix(seconds);
        prop_assert_eq!(Timestamp::parse(time.format().as_bytes(), at(0)), Some(time));
    }

    #[test]
    fn dates_have_one_form_whatever_the_time(seconds in any::<i64>()) {
        prop_assert_eq!(Timestamp::from_unix(seconds).format().len(), 29);
    }

    #[test]
    fn reading_a_date_never_panics(text in ".{0,40}", now in any::<i64>()) {
        let _ = Timestamp::parse(text.as_bytes(), Timestamp::from_unix(now));
    }

    #[test]
    fn directives_are_read_as_they_were_written(list in vec(directive(), 0..10)) {
        let text = printed(&list);
        let read = Directives::of(&fields(&[("cache-control", text.as_str())]));
        prop_assert_eq!(read.iter().cloned().collect::<Vec<_>>(), list);
        prop_assert_eq!(read.to_string(), text);
    }

    #[test]
    fn reading_directives_never_panics(bytes in vec(32_u8..=255, 0..200)) {
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let read = Directives::parse([&value]);
            for name in ["max-age", "private"] {
                let _ = (read.delta(name), read.scope(name));
            }
        }
    }

    #[test]
    fn nothing_is_served_as_fresh_beyond_its_lifetime(
        lifetime in 0_u64..200,
        age in 0_u64..100,
        delay in 0_i64..50,
        behind in 0_i64..100,
        waited in 0_i64..200,
    ) {
        let rig = Rig::new();
        let control = format!("max-age={lifetime}");
        let made = date(delay - behind);
        let list = [
            ("cache-control", control.as_str()),
            ("age", &age.to_string()),
            ("date", &made),
            ("etag", "\"a\""),
        ];
        let times = Times { request: at(0), response: at(delay) };
        let came = response(200, &list);
        let fetch = rig.fetch(&get(&[]));
        let outcome = rig.cache.on_response(&get(&[]), &fetch, &came, times, &[]);
        let mut variants = Vec::new();
        outcome.apply(&mut variants);
        let decision = rig.cache.lookup(&get(&[]), &variants, at(delay + waited));
        // The least that its age can be, by each of the two ways to know.
        let by_age = age + u64::try_from(delay + waited).unwrap_or(0);
        let by_date = u64::try_from(behind + waited).unwrap_or(0);
        prop_assert_eq!(is_hit(&decision), lifetime > by_age.max(by_date));
    }

    #[test]
    fn no_time_is_too_far_away(
        times in any::<[i64; 4]>(),
        numbers in any::<[u64; 4]>(),
        modified in any::<i64>(),
    ) {
        let [one, other, now, made] = times.map(Timestamp::from_unix);
        let control = format!(
            "max-age={}, stale-while-revalidate={}, stale-if-error={}",
            numbers[0], numbers[1], numbers[2]
        );
        let age = numbers[3].to_string();
        let (made, modified) = (made.format(), Timestamp::from_unix(modified).format());
        for control in [("cache-control", control.as_str()), ("x", "")] {
            let list = [
                control,
                ("age", age.as_str()),
                ("date", &made),
                ("last-modified", &modified),
                ("expires", &modified),
            ];
            let rig = Rig::new();
            let fetch = rig.fetch(&get(&[]));
            let came = response(200, &list);
            let times = Times { request: one, response: other };
            let outcome = rig.cache.on_response(&get(&[]), &fetch, &came, times, &[]);
            let mut variants = Vec::new();
            outcome.apply(&mut variants);
            let wanted = get(&[("cache-control", "max-stale=9, min-fresh=1")]);
            for request in [wanted, get(&[])] {
                let _ = rig.cache.lookup(&request, &variants, now);
                let _ = rig.cache.on_failure(&request, &fetch, &variants, now);
            }
            for stored in &variants {
                prop_assert!(stored.age(now) <= MAX_DELTA);
                let _ = (stored.ttl(now), stored.servable_for(now), stored.is_fresh(now));
            }
        }
    }

    #[test]
    fn nothing_private_is_stored(
        request in message(),
        status in status(),
        list in message(),
        forbids in prop::sample::select(vec!["no-store", "private", "private=\"", "No-Store"]),
        place in any::<prop::sample::Index>(),
    ) {
        let mut list: Vec<_> =
            list.into_iter().filter(|(name, value)| {
                name != "cdn-cache-control" && !value.contains("must-understand")
            }).collect();
        list.insert(place.index(list.len() + 1), ("cache-control".into(), forbids.into()));
        prop_assert!(!Rig::stores_if_read(&borrowed(&request), status, &borrowed(&list)));
    }

    #[test]
    fn nothing_is_stored_for_credentials_unless_it_says_so(
        status in status(),
        list in message(),
    ) {
        let allows = ["public", "must-revalidate", "s-maxage"];
        let list: Vec<_> =
            list.into_iter().filter(|(_, value)| !allows.iter().any(|word| value.contains(word))).collect();
        let request = [("authorization", "x")];
        prop_assert!(!Rig::stores_if_read(&request, status, &borrowed(&list)));
    }

    #[test]
    fn what_is_stored_is_read_back_as_it_was(
        request in message(),
        status in status(),
        list in message(),
        locator in any::<u64>(),
    ) {
        let rig = Rig::new();
        if let Decision::Forward(fetch) = rig.get(&borrowed(&request)) {
            let outcome = rig.receive_for(&get(&borrowed(&request)), &fetch, status, &borrowed(&list));
            let mut variants = Vec::new();
            outcome.apply(&mut variants);
            for mut stored in variants {
                stored.locator = locator;
                let bytes = stored.encode();
                let read = rig.cache.decode(&bytes).expect("it was written so");
                prop_assert_eq!(&read, &stored);
                prop_assert_eq!(read.encode(), bytes);
            }
        }
    }

    #[test]
    fn reading_what_is_stored_never_panics(mut bytes in vec(any::<u8>(), 0..300)) {
        let cache = SharedCache::default();
        let _ = cache.decode(&bytes);
        bytes.insert(0, 1);
        if let Ok(stored) = cache.decode(&bytes) {
            let _ = cache.lookup(&get(&[("range", "bytes=0-3")]), &[stored], at(0));
        }
    }

    #[test]
    fn what_is_damaged_is_refused_or_at_least_harmless(
        list in message(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut rig = Rig::new();
        let mut all = borrowed(&list);
        all.push(("cdn-cache-control", "max-age=9"));
        let outcome = rig.receive(&get(&[]), 200, &all);
        outcome.apply(&mut rig.variants);
        for stored in &rig.variants {
            let mut bytes = stored.encode();
            for (place, byte) in &damage {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            if let Ok(read) = rig.cache.decode(&bytes) {
                let again = rig.cache.decode(&read.encode());
                prop_assert_eq!(again, Ok(read.clone()));
                let _ = rig.cache.lookup(&get(&[("range", "bytes=0-3")]), &[read], at(0));
            }
        }
    }

    #[test]
    fn updating_is_idempotent(stored in message(), newer in message()) {
        let mut rig = Rig::new();
        let mut all = borrowed(&stored);
        all.push(("cdn-cache-control", "max-age=9"));
        let outcome = rig.receive(&get(&[]), 200, &all);
        outcome.apply(&mut rig.variants);
        let newer = fields(&borrowed(&newer));
        let times = Times { request: at(5), response: at(6) };
        for stored in &rig.variants {
            let once = stored.updated(&newer, times, rig.cache.options());
            let twice = once.updated(&newer, times, rig.cache.options());
            prop_assert_eq!(once, twice);
        }
    }

    #[test]
    fn ranges_are_the_same_bytes_as_a_slice_of_the_whole(
        length in 1_u64..600,
        asked in vec((0_u64..700, prop::option::of(0_u64..700)), 1..5),
        suffix in prop::option::of(0_u64..700),
    ) {
        let mut wanted: Vec<String> = asked
            .iter()
            .map(|(first, more)| match more {
                Some(more) => format!("{first}-{}", first + more),
                None => format!("{first}-"),
            })
            .collect();
        wanted.extend(suffix.map(|count| format!("-{count}")));
        let field = HeaderValue::from_str(&format!("bytes={}", wanted.join(","))).expect("a value");
        let content = Content::Whole { length: Some(length) };
        let bytes = body(length);
        let mut needed: Vec<bool> = vec![false; usize::try_from(length).expect("fits")];
        for (place, needed) in needed.iter_mut().enumerate() {
            let place = u64::try_from(place).expect("fits");
            *needed = asked.iter().any(|(first, more)| {
                place >= *first && more.is_none_or(|more| place <= first + more)
            }) || suffix.is_some_and(|count| place >= length.saturating_sub(count));
        }
        match Ranges::of(&field, &content, 16) {
            Ranges::Spans(spans) => {
                for span in &spans {
                    prop_assert!(span.start < span.end && span.end <= length);
                    let (start, end) = (
                        usize::try_from(span.start).expect("fits"),
                        usize::try_from(span.end).expect("fits"),
                    );
                    let sent = Body::Span(*span).assemble(&content, &bytes).expect("stored");
                    prop_assert_eq!(&sent, &bytes[start..end]);
                    needed[start..end].fill(false);
                }
                prop_assert!(needed.iter().all(|needed| !needed), "all that was asked for is sent");
                for (place, span) in spans.iter().enumerate() {
                    for other in &spans[place + 1..] {
                        prop_assert!(span.end < other.start || other.end < span.start);
                    }
                }
            }
            Ranges::Unsatisfiable(whole) => {
                prop_assert_eq!(whole, length);
                prop_assert!(needed.iter().all(|needed| !needed));
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn parts_that_are_put_together_are_the_whole(
        length in 1_u64..80,
        pieces in vec((0_u64..80, 1_u64..30), 1..14),
    ) {
        let whole = body(length);
        let mut content = Content::Part { spans: Vec::new(), length: Some(length) };
        let mut bytes = Bytes::new();
        let mut there = vec![false; usize::try_from(length).expect("fits")];
        for (start, count) in pieces {
            let span = Span { start, end: (start + count).min(length) };
            if span.start >= span.end {
                continue;
            }
            let (from, to) =
                (usize::try_from(span.start).expect("fits"), usize::try_from(span.end).expect("fits"));
            let new = whole.slice(from..to);
            let (next, all) = content.splice(&bytes, span, Some(length), &new).expect("it fits");
            (content, bytes) = (next, all);
            there[from..to].fill(true);
            for (place, there) in there.iter().enumerate() {
                let at = u64::try_from(place).expect("fits");
                let one = Span { start: at, end: at + 1 };
                let found = Body::Span(one).assemble(&content, &bytes);
                prop_assert_eq!(found, there.then(|| whole.slice(place..=place)));
            }
        }
        prop_assert_eq!(content.is_whole(), there.iter().all(|there| *there));
    }

    #[test]
    fn every_answer_is_as_long_as_it_says(
        length in 0_u64..500,
        request in message(),
        ranges in vec((0_u64..600, 0_u64..600), 0..4),
    ) {
        let mut rig = Rig::new();
        let declared = length.to_string();
        let list =
            [("cache-control", "max-age=99"), ("content-length", declared.as_str()), ("etag", "\"a\"")];
        rig.fill(&get(&[]), 200, &list);
        let ranges: Vec<String> =
            ranges.into_iter().map(|(first, more)| format!("{first}-{}", first + more)).collect();
        let range = format!("bytes={}", ranges.join(","));
        let mut all = borrowed(&request);
        all.push(("range", &range));
        if let Decision::Serve(answer) = rig.get(&all) {
            let sent = answer.body.assemble(rig.variants[0].content(), &body(length)).expect("stored");
            if answer.status != 304 {
                prop_assert_eq!(text(&answer.headers, "content-length"), sent.len().to_string());
            }
        }
    }

    #[test]
    fn whatever_comes_the_cache_decides_something(
        requests in vec((message(), status(), message(), 0_i64..50), 1..6),
    ) {
        let mut rig = Rig::with(Options { max_variants: 3, ..Options::default() });
        for (request, status, list, wait) in &requests {
            let request = get(&borrowed(request));
            rig.later(*wait);
            let fetch = match rig.look(&request) {
                Decision::Serve(_) | Decision::Unsatisfied(_) => continue,
                Decision::ServeStale { revalidate: fetch, .. }
                | Decision::Validate(fetch)
                | Decision::Forward(fetch) => fetch,
            };
            let outcome = rig.receive_for(&request, &fetch, *status, &borrowed(list));
            if outcome.refusal == Some(Refusal::RequestNoStore) {
                prop_assert!(outcome.changes.is_empty());
            }
            rig.apply(&outcome);
            prop_assert!(rig.variants.len() <= 3);
        }
    }
}

impl Rig {
    /// Whether a response is stored, for requests that may or may not reach the origin.
    fn stores_if_read(request: Fields<'_>, status: u16, list: Fields<'_>) -> bool {
        let rig = Self::new();
        let Decision::Forward(fetch) = rig.get(request) else {
            return false;
        };
        let outcome = rig.receive_for(&get(request), &fetch, status, list);
        outcome
            .changes
            .iter()
            .any(|change| matches!(change, Change::Insert(_)))
    }
}
