//! Loads that take long, and what is too large to keep.

use super::bed::{Bed, PAGE, Text, from_memory, from_source, ms, policy, secs, served};
use crate::answer::{From, GetError, State};
use crate::cache::{MAX_KEY, MAX_TAGS};
use crate::policy::Policy;
use crate::stats::Counter;
use crate::warm::Warmth;

#[test]
fn after_the_soft_timeout_what_is_stale_is_served_and_the_load_goes_on_behind() {
    let bed = Bed::new();
    let (peer, origin) = (bed.alone(policy()), bed.origin("one"));
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    bed.advance(secs(100));
    origin.set("two");
    origin.takes(secs(2));
    let leader = bed.begin(peer.get("page/1", &origin));
    bed.settle();
    let waiter = bed.begin(peer.get("page/1", &origin));
    bed.advance(ms(499));
    assert!(!leader.has_ended() && !waiter.has_ended());
    bed.advance(ms(1));
    for reader in [leader, waiter] {
        let (text, from, state) = served(reader.output());
        assert_eq!(
            (text.as_str(), from, state),
            ("one", From::Memory, State::StaleOnError)
        );
    }
    bed.advance(ms(1500));
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_memory("two")
    );
    assert_eq!((origin.loads(), peer.cache.in_flight()), (2, 0));
    assert_eq!(peer.stats().answers(), 4);
}

#[test]
fn after_the_hard_timeout_there_is_an_error_and_nothing_is_left_behind() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("one"));
    origin.takes(secs(60));
    let leader = bed.begin(peer.get("page/1", &origin));
    bed.settle();
    let waiter = bed.begin(peer.get("page/1", &origin));
    bed.advance(ms(4999));
    assert!(!leader.has_ended() && !waiter.has_ended());
    bed.advance(ms(1));
    for reader in [leader, waiter] {
        assert_eq!(reader.output().err(), Some(GetError::Timeout));
    }
    assert_eq!((peer.cache.in_flight(), bed.tier.leases()), (0, 0));
    assert!(peer.count(Counter::LoadTimeout) >= 1);
}

#[test]
fn keys_that_are_too_long_are_loaded_and_not_kept() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("one"));
    let (longest, longer) = ("k".repeat(MAX_KEY), "k".repeat(MAX_KEY + 1));
    for _ in 0..2 {
        bed.run(peer.get(&longest, &origin)).expect("loaded");
    }
    assert_eq!(origin.loads(), 1);
    peer.asks.take_calls();
    for _ in 0..2 {
        assert_eq!(
            served(bed.run(peer.get(&longer, &origin))),
            from_source("one")
        );
    }
    assert_eq!(origin.loads(), 3);
    assert!(peer.asks.take_calls().is_empty());
}

#[test]
fn what_has_too_many_tags_is_given_out_and_not_kept() {
    let bed = Bed::new();
    let peer = bed.peer(policy());
    let tags: Vec<String> = (0..=MAX_TAGS).map(|n| format!("creator:{n}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let origin = bed.origin("one").tagged(&[], &tags);
    for _ in 0..2 {
        assert_eq!(
            served(bed.run(peer.get("page/1", &origin))),
            from_source("one")
        );
    }
    bed.settle();
    assert!(bed.tier.stored("page/1").is_none());
    assert_eq!(bed.tier.leases(), 0);
    let fits = origin.tagged(&[], &tags[1..]);
    bed.run(peer.get("page/1", &fits)).expect("loaded");
    assert_eq!(
        served(bed.run(peer.get("page/1", &fits))),
        from_memory("one")
    );
}

#[test]
fn warming_loads_what_is_missing_and_what_would_soon_expire_and_nothing_else() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("one"));
    let warm = |fresh_for| {
        let (cache, origin) = (peer.cache.clone(), origin.clone());
        bed.run(async move { cache.warm(PAGE, "page/1", fresh_for, origin).await })
    };
    assert_eq!(warm(secs(60)), Warmth::Loaded);
    assert_eq!(warm(secs(60)), Warmth::Fresh);
    assert_eq!(origin.loads(), 1);
    origin.set("two");
    bed.advance(secs(45));
    let (other, of) = (bed.peer(policy()), origin.clone());
    let found = bed.run(async move {
        let cache = other.cache;
        cache.warm(PAGE, "page/1", secs(40), of).await
    });
    assert_eq!(found, Warmth::Found);
    let again = warm(secs(60));
    assert_eq!(
        again,
        Warmth::Loaded,
        "it would only be fresh for 45 seconds"
    );
    assert_eq!(origin.loads(), 2);
    let answer = bed.run(peer.get("page/1", &origin)).expect("warm");
    assert_eq!(answer.value(), &Text("two".to_owned()));
    assert!(answer.entry.fresh_for(bed.now()) >= secs(60));
    assert_eq!(peer.stats().answers(), 1, "warming answers nobody");
}

#[test]
fn a_kind_that_is_kept_out_of_the_shared_tier_does_not_ask_it() {
    let bed = Bed::new();
    let own = Policy {
        shared: secs(0),
        ..policy()
    };
    let (peer, origin) = (bed.peer(own), bed.origin("one"));
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    bed.advance(secs(29));
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_memory("one")
    );
    assert!(peer.asks.take_calls().is_empty());
}
