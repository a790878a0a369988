//! A shared tier that holds what cannot be read, or is away.

use super::bed::{Bed, from_memory, from_shared, from_source, ms, policy, secs, served};
use crate::answer::{From, State};
use crate::policy::{Policy, Unverified};
use crate::sim::tier::Link;
use crate::stamp::Position;
use crate::stats::Counter;

/// An entry with these bytes is a miss, is counted, and is replaced.
fn is_replaced(payload: &'static [u8]) {
    let bed = Bed::new();
    let (here, there) = (bed.peer(policy()), bed.peer(policy()));
    let origin = bed.origin("one");
    bed.run(here.get("page/1", &origin)).expect("loaded");
    bed.tier.poison("page/1", payload);
    assert_eq!(
        served(bed.run(there.get("page/1", &origin))),
        from_source("one")
    );
    assert_eq!(there.count(Counter::Undecodable), 2);
    assert_eq!(
        (there.count(Counter::Miss), there.stats().answers()),
        (1, 1)
    );
    let other = bed.peer(policy());
    assert_eq!(
        served(bed.run(other.get("page/1", &origin))),
        from_shared("one")
    );
    assert_eq!(bed.tier.leases(), 0);
}

#[test]
fn a_poisoned_entry_is_a_miss_and_is_replaced() {
    is_replaced(b"\x07\x00\xff\xfe\xfd");
    is_replaced(b"\x07");
    is_replaced(b"");
}

#[test]
fn an_entry_of_another_schema_is_a_miss_and_is_replaced() {
    is_replaced(b"\x06\x00one");
}

#[test]
fn a_shared_tier_that_hangs_costs_its_timeout_until_the_breaker_opens_and_nothing_then() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("one"));
    peer.asks.tier.set_link(Link::Hung);
    let costs: Vec<_> = (0..8)
        .map(|n| {
            let begun = bed.now();
            let got = bed.run(peer.get(&format!("page/{n}"), &origin));
            assert_eq!(served(got), from_source("one"));
            bed.now() - begun
        })
        .collect();
    assert_eq!(costs[..5], [ms(50); 5]);
    assert_eq!(costs[5..], [ms(0); 3]);
    assert_eq!(peer.asks.take_calls().len(), 5);
    assert_eq!(peer.count(Counter::Miss), 8);
    assert_eq!(
        origin.last_load().position,
        Position::SOURCE,
        "nobody tells how far the others have come"
    );
}

#[test]
fn a_node_that_is_cut_off_trusts_its_memory_for_the_silence_and_no_longer() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("one"));
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    peer.asks.tier.set_link(Link::Cut);
    peer.hears.set_link(Link::Cut);
    let left = peer.node.status(bed.now()).trusted_for;
    assert!(left <= secs(1));
    bed.advance(left);
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_memory("one")
    );
    bed.advance(ms(1));
    origin.set("two");
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_source("two")
    );
    // What was loaded while nobody was heard is good for as long.
    bed.advance(secs(1));
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_memory("two")
    );
    bed.advance(ms(1));
    origin.fails(true);
    let (text, from, state) = served(bed.run(peer.get("page/1", &origin)));
    assert_eq!(
        (text.as_str(), from, state),
        ("two", From::Memory, State::Unverified)
    );
    assert_eq!(peer.count(Counter::Unverified), 1);
}

#[test]
fn a_kind_may_ask_for_an_error_rather_than_what_nobody_vouches_for() {
    let bed = Bed::new();
    let closed = Policy {
        unverified: Unverified::Load,
        ..policy()
    };
    let (peer, origin) = (bed.peer(closed), bed.origin("one"));
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    peer.asks.tier.set_link(Link::Cut);
    peer.hears.set_link(Link::Cut);
    bed.advance(secs(2));
    origin.fails(true);
    assert!(bed.run(peer.get("page/1", &origin)).is_err());
}

#[test]
fn a_copy_that_cannot_be_compared_is_served_while_the_node_hears_everything() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("one"));
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    peer.asks.tier.set_link(Link::Cut);
    bed.advance(secs(31));
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_memory("one")
    );
    assert_eq!(origin.loads(), 1);
}

#[test]
fn whatever_becomes_of_gets_each_answer_is_counted_once() {
    let bed = Bed::new();
    let short = Policy {
        fresh: ms(400),
        shared: ms(400),
        memory: ms(100),
        stale_while_revalidate: ms(300),
        stale_if_error: secs(3),
        negative: ms(100),
        early_refresh: 1.0,
        soft_timeout: ms(20),
        hard_timeout: ms(200),
        ..Policy::default()
    };
    let peers = [bed.peer(short.clone()), bed.peer(short)];
    let origins: Vec<_> = (0..3).map(|_| bed.origin("one")).collect();
    let (mut answers, mut failed) = (0, 0);
    for round in 0..600_u64 {
        let origin = &origins[usize::try_from(bed.world.below(3)).expect("small")];
        origin.takes(ms(bed.world.below(60)));
        origin.fails(bed.world.chance(20));
        if bed.world.chance(10) {
            origin.clear();
        } else {
            origin.set("one");
        }
        let link = if bed.world.chance(10) {
            Link::Hung
        } else {
            Link::Well
        };
        peers[0].asks.tier.set_link(link);
        let readers: Vec<_> = (0..4)
            .map(|n| {
                let key = format!("page/{}", bed.world.below(3));
                bed.begin(peers[n % 2].get(&key, origin))
            })
            .collect();
        bed.advance(ms(bed.world.below(20)));
        if round % 20 == 0 {
            let tag = bed.run(peers[0].invalidate("pitch:1", crate::shared::Strength::Soft));
            drop(tag);
        }
        bed.advance(ms(300));
        for reader in readers {
            match reader.output() {
                Ok(_) => answers += 1,
                Err(_) => failed += 1,
            }
        }
    }
    let stats = peers.each_ref().map(super::bed::Peer::stats);
    let counted: u64 = stats.iter().map(crate::stats::KindSnapshot::answers).sum();
    assert!(answers > 1000 && failed > 10, "{answers}, {failed}");
    assert_eq!(counted, answers, "{stats:#?}");
    for stats in &stats {
        let ratio = stats.hit_ratio().expect("there were answers");
        assert!((0.0..=1.0).contains(&ratio));
        assert!(stats.get(Counter::Negative) <= stats.answers());
    }
}
