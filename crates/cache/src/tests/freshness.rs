//! What an entry is good for at which moment.

use super::bed::{Bed, from_memory, from_shared, from_source, ms, policy, secs, served};
use crate::answer::{From, GetError, State};
use crate::policy::Policy;
use crate::stats::Counter;

const STALE: (From, State) = (From::Memory, State::Stale);

#[test]
fn alone_an_entry_is_fresh_then_stale_then_loaded_anew_at_exact_times() {
    let bed = Bed::new();
    let (peer, origin) = (bed.alone(policy()), bed.origin("one"));
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_source("one")
    );
    origin.fails(true);
    bed.advance(ms(29_999));
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_memory("one")
    );
    bed.advance(ms(1));
    let (_, from, state) = served(bed.run(peer.get("page/1", &origin)));
    assert_eq!((from, state), STALE);
    bed.advance(ms(29_999));
    let (_, from, state) = served(bed.run(peer.get("page/1", &origin)));
    assert_eq!((from, state), STALE);
    bed.settle();
    origin.fails(false);
    origin.set("two");
    bed.advance(ms(1));
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_source("two")
    );
}

#[test]
fn a_copy_in_memory_is_compared_with_the_shared_tier_when_its_time_is_up() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("one"));
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    peer.asks.take_calls();
    bed.advance(ms(29_999));
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_memory("one")
    );
    assert!(peer.asks.take_calls().is_empty());
    bed.advance(ms(1));
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_shared("one")
    );
    assert_eq!(peer.asks.take_calls(), ["lookup"]);
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_memory("one")
    );
    // Comparing does not make it younger.
    bed.advance(secs(30));
    bed.run(peer.get("page/1", &origin)).expect("compared");
    bed.advance(secs(30));
    let (_, _, state) = served(bed.run(peer.get("page/1", &origin)));
    assert_eq!(state, State::Stale, "90 seconds after its load began");
    bed.settle();
    assert_eq!(origin.loads(), 2);
}

#[test]
fn what_is_stale_is_refreshed_once_however_many_read_it() {
    let bed = Bed::new();
    let (peer, origin) = (bed.alone(policy()), bed.origin("one"));
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    bed.advance(secs(40));
    origin.set("two");
    origin.takes(ms(50));
    for _ in 0..1000 {
        let (text, from, state) = served(bed.run(peer.get("page/1", &origin)));
        assert_eq!((text.as_str(), (from, state)), ("one", STALE));
    }
    assert_eq!(origin.loads(), 2);
    bed.advance(ms(50));
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_memory("two")
    );
    assert_eq!(peer.count(Counter::MemoryStale), 1000);
    assert_eq!(peer.count(Counter::Refresh), 1);
    assert_eq!(peer.stats().answers(), 1002);
}

#[test]
fn a_refresh_that_fails_is_not_tried_again_at_once() {
    let bed = Bed::new();
    let (peer, origin) = (bed.alone(policy()), bed.origin("one"));
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    bed.advance(secs(40));
    origin.fails(true);
    for _ in 0..100 {
        bed.run(peer.get("page/1", &origin)).expect("stale");
        bed.settle();
    }
    assert_eq!(origin.loads(), 2);
    bed.advance(ms(250));
    bed.run(peer.get("page/1", &origin)).expect("stale");
    bed.settle();
    assert_eq!(origin.loads(), 3);
    assert_eq!(peer.count(Counter::LoadError), 2);
    assert_eq!(
        peer.stats().answers(),
        102,
        "a refresh answers nobody, failing or not"
    );
}

#[test]
fn in_an_errors_place_what_is_stale_is_served_within_its_window_and_not_after() {
    let bed = Bed::new();
    let (peer, origin) = (bed.alone(policy()), bed.origin("one"));
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    origin.fails(true);
    bed.advance(ms(629_999));
    let (text, from, state) = served(bed.run(peer.get("page/1", &origin)));
    assert_eq!(
        (text.as_str(), from, state),
        ("one", From::Memory, State::StaleOnError)
    );
    bed.advance(ms(1));
    let got = bed.run(peer.get("page/1", &origin));
    assert!(matches!(got, Err(GetError::Load(_))), "{got:?}");
    assert_eq!(peer.count(Counter::StaleOnError), 1);
}

#[test]
fn that_there_is_nothing_is_remembered_for_the_negative_time_and_no_longer() {
    let bed = Bed::new();
    let (peer, origin) = (bed.alone(policy()), bed.origin(""));
    origin.clear();
    let answer = bed
        .run(peer.get("page/1", &origin))
        .expect("that it is absent");
    assert!(answer.entry.is_absent());
    bed.advance(ms(9999));
    let answer = bed
        .run(peer.get("page/1", &origin))
        .expect("that it is absent");
    assert_eq!((answer.from, origin.loads()), (From::Memory, 1));
    assert_eq!(peer.count(Counter::Negative), 2);
    origin.set("one");
    bed.advance(ms(1));
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_source("one")
    );
}

#[test]
fn creation_ends_what_says_that_there_is_nothing_on_every_node() {
    let bed = Bed::new();
    let (here, there) = (bed.peer(policy()), bed.peer(policy()));
    let origin = bed.origin("");
    origin.clear();
    for peer in [&here, &there] {
        let answer = bed
            .run(peer.get("page/1", &origin))
            .expect("that it is absent");
        assert!(answer.entry.is_absent());
    }
    assert_eq!(origin.loads(), 1);
    origin.set("one");
    bed.run(here.invalidate("pitch:1", crate::shared::Strength::Hard))
        .expect("acknowledged");
    bed.settle();
    assert_eq!(
        served(bed.run(there.get("page/1", &origin))),
        from_source("one")
    );
    assert_eq!(
        served(bed.run(here.get("page/1", &origin))),
        from_shared("one")
    );
}

#[test]
fn what_is_about_to_expire_is_refreshed_early_once_and_behind_the_answer() {
    let bed = Bed::new();
    let eager = Policy {
        early_refresh: 1.0,
        ..policy()
    };
    let (peer, origin) = (bed.alone(eager), bed.origin("one"));
    // It cost a second, so within the last seconds an early refresh is likely.
    origin.takes(secs(1));
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    bed.advance(secs(5));
    for _ in 0..1000 {
        bed.run(peer.get("page/1", &origin)).expect("fresh");
    }
    assert_eq!(
        origin.loads(),
        1,
        "twenty times its cost before the end it is too early"
    );
    origin.set("two");
    bed.advance(ms(23_500));
    for _ in 0..1000 {
        assert_eq!(
            served(bed.run(peer.get("page/1", &origin))),
            from_memory("one")
        );
    }
    assert_eq!(origin.loads(), 2);
    assert!(origin.last_load().background);
    bed.advance(secs(1));
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_memory("two")
    );
    assert_eq!(peer.count(Counter::EarlyRefresh), 1);
    assert_eq!(peer.count(Counter::MemoryStale), 0);
}

#[test]
fn lifetimes_are_shortened_at_random_within_their_bounds() {
    let bed = Bed::new();
    let varied = Policy {
        jitter_percent: 10,
        ..policy()
    };
    let (peer, origin) = (bed.alone(varied), bed.origin("one"));
    let lives: Vec<_> = (0..500)
        .map(|n| {
            let answer = bed.run(peer.get(&format!("page/{n}"), &origin));
            answer.expect("loaded").entry.fresh_for(bed.now())
        })
        .collect();
    assert!(
        lives
            .iter()
            .all(|life| *life > secs(27) && *life <= secs(30))
    );
    assert!(lives.iter().any(|life| *life < ms(27_500)));
    assert!(lives.iter().any(|life| *life > ms(29_500)));
}

#[test]
fn a_soft_invalidation_makes_stale_and_a_hard_one_useless() {
    let bed = Bed::new();
    let (here, there) = (bed.peer(policy()), bed.peer(policy()));
    let origin = bed.origin("one");
    for peer in [&here, &there] {
        bed.run(peer.get("page/1", &origin)).expect("loaded");
    }
    origin.set("two");
    bed.run(here.invalidate("pitch:1", crate::shared::Strength::Soft))
        .expect("acknowledged");
    bed.settle();
    for peer in [&here, &there] {
        let (text, _, state) = served(bed.run(peer.get("page/1", &origin)));
        assert_eq!((text.as_str(), state), ("one", State::Stale));
    }
    bed.settle();
    assert_eq!(
        served(bed.run(here.get("page/1", &origin))),
        from_memory("two")
    );
    assert_eq!(origin.loads(), 2, "refreshed by one of them");
    origin.set("three");
    origin.fails(true);
    bed.run(here.invalidate("pitch:1", crate::shared::Strength::Hard))
        .expect("acknowledged");
    bed.settle();
    for peer in [&here, &there] {
        let got = bed.run(peer.get("page/1", &origin));
        assert_eq!(got.err(), Some(GetError::Load(super::bed::Failed)));
    }
}
