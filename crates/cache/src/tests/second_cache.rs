//! A node that loads from another node's cache: no invalidation is undone by the way that a value takes.

use super::bed::{Bed, Peer, from_memory, from_source, policy, secs, served};
use crate::entry::Vintage;
use crate::policy::Policy;
use crate::shared::Strength;
use crate::sim::tier::Link;
use crate::stamp::{AsOf, Epoch, Seq};
use crate::stats::Counter;
use std::time::Duration;

/// An edge keeps in memory alone.
fn edge_policy() -> Policy {
    Policy {
        memory: secs(90),
        shared: Duration::ZERO,
        ..policy()
    }
}

fn known(bed: &Bed, peer: &Peer) -> AsOf {
    peer.node.known(bed.now()).expect("attached")
}

fn until(as_of: AsOf, age: Duration) -> Vintage {
    Vintage::Until { as_of, age }
}

#[test]
fn a_value_is_as_old_as_it_is_where_it_is_from() {
    let bed = Bed::new();
    bed.advance(secs(100));
    let (edge, origin) = (bed.peer(edge_policy()), bed.origin("one"));
    let as_of = known(&bed, &edge);
    origin.sees(until(as_of, secs(60)));
    let answer = bed.run(edge.get("page/1", &origin)).expect("loaded");
    assert_eq!(answer.entry.age(bed.now()), secs(60));
    assert_eq!(answer.entry.fresh_for(bed.now()), secs(30));
    assert_eq!(edge.node.as_of(&answer.entry), Some(as_of));
    assert_eq!(
        served(bed.run(edge.get("page/1", &origin))),
        from_memory("one")
    );
    assert_eq!(origin.loads(), 1);
}

#[test]
fn a_value_that_has_not_seen_what_this_node_has_applied_is_loaded_again_and_never_kept() {
    let bed = Bed::new();
    let (edge, origin) = (bed.peer(edge_policy()), bed.origin("old"));
    let before = known(&bed, &edge);
    bed.run(edge.invalidate("pitch:1", Strength::Hard))
        .expect("acknowledged");
    bed.settle();
    origin.sees(until(before, secs(0)));
    bed.run(edge.get("page/1", &origin)).expect("loaded");
    assert!(edge.count(Counter::FillRefused) > 0);
    let loads = origin.loads();
    assert!(loads > 1, "{loads}");
    origin.set("new");
    origin.sees(until(known(&bed, &edge), secs(0)));
    assert_eq!(
        served(bed.run(edge.get("page/1", &origin))),
        from_source("new")
    );
    assert_eq!(
        served(bed.run(edge.get("page/1", &origin))),
        from_memory("new")
    );
}

#[test]
fn a_value_is_invalid_by_what_is_raised_after_its_own_stamp_and_not_after_its_load() {
    let bed = Bed::new();
    let (edge, other) = (bed.peer(edge_policy()), bed.peer(policy()));
    let origin = bed.origin("one").tagged(&["pitch:1"], &["creator:7"]);
    origin.sees(until(known(&bed, &edge), secs(0)));
    bed.run(edge.get("page/1", &origin)).expect("loaded");
    bed.run(other.invalidate("creator:7", Strength::Hard))
        .expect("acknowledged");
    bed.settle();
    origin.set("two");
    origin.sees(until(known(&bed, &edge), secs(0)));
    assert_eq!(
        served(bed.run(edge.get("page/1", &origin))),
        from_source("two")
    );
}

#[test]
fn what_nobody_can_vouch_for_is_given_and_not_kept() {
    let bed = Bed::new();
    let (edge, origin) = (bed.peer(edge_policy()), bed.origin("one"));
    let AsOf { epoch, seq } = known(&bed, &edge);
    let elsewhere = AsOf {
        epoch: Epoch(epoch.0.wrapping_add(1)),
        seq,
    };
    for seen in [Vintage::Unknown, until(elsewhere, secs(0))] {
        origin.sees(seen);
        for _ in 0..2 {
            assert_eq!(
                served(bed.run(edge.get("page/1", &origin))),
                from_source("one")
            );
        }
    }
    assert_eq!(origin.loads(), 4);
    let detached = bed.detached(edge_policy());
    origin.sees(until(AsOf { epoch, seq }, secs(0)));
    for _ in 0..2 {
        assert_eq!(
            served(bed.run(detached.get("page/1", &origin))),
            from_source("one")
        );
    }
    assert_eq!(origin.loads(), 6);
}

#[test]
fn a_value_from_another_cache_does_not_go_into_the_shared_tier() {
    let bed = Bed::new();
    let (edge, other) = (bed.peer(policy()), bed.peer(policy()));
    let origin = bed.origin("one");
    origin.sees(until(known(&bed, &edge), secs(0)));
    bed.run(edge.get("page/1", &origin)).expect("loaded");
    bed.settle();
    origin.set("two");
    assert_eq!(
        served(bed.run(other.get("page/1", &origin))),
        from_source("two")
    );
}

#[test]
fn who_is_told_of_an_invalidation_serves_nothing_older_until_it_has_come() {
    let bed = Bed::new();
    let (here, there) = (bed.peer(policy()), bed.peer(policy()));
    let origin = bed.origin("old");
    bed.run(there.get("page/1", &origin)).expect("loaded");
    // Nothing that is announced reaches it for now, and it does not know yet.
    there.hears.set_link(Link::Cut);
    bed.run(here.invalidate("pitch:1", Strength::Hard))
        .expect("acknowledged");
    origin.set("new");
    let as_of = known(&bed, &here);
    assert!(!there.node.has_applied(as_of));
    assert!(there.node.heard_of(as_of));
    assert_eq!(known(&bed, &there), as_of);
    assert_eq!(
        served(bed.run(there.get("page/1", &origin))),
        from_source("new")
    );
    assert_eq!(
        served(bed.run(there.get("page/1", &origin))),
        from_memory("new")
    );
    there.hears.set_link(Link::Well);
    bed.advance(secs(5));
    assert!(there.node.has_applied(known(&bed, &here)));
}

#[test]
fn who_cannot_tell_says_so_and_what_is_distrusted_is_asked_for_anew() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("old"));
    let AsOf { epoch, seq } = known(&bed, &peer);
    let elsewhere = AsOf {
        epoch: Epoch(!epoch.0),
        seq: Seq(seq.0 + 1),
    };
    assert!(!peer.node.heard_of(elsewhere));
    assert!(!bed.detached(policy()).node.heard_of(AsOf { epoch, seq }));
    let answer = bed.run(peer.get("page/1", &origin)).expect("loaded");
    peer.node.distrust();
    assert_eq!(peer.node.as_of(&answer.entry), None);
    assert_eq!(peer.node.known(bed.now()), None);
    origin.set("new");
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_source("new")
    );
    bed.advance(secs(5));
    assert!(peer.node.known(bed.now()).is_some(), "it is attached anew");
}
