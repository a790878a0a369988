//! What an invalidation and a removal reach, and when.

use std::future::Future;

use super::bed::{Bed, Peer, from_memory, from_shared, from_source, ms, policy, secs, served};
use crate::shared::{SharedError, Strength};
use crate::sim::tier::Link;
use crate::stamp::Position;

fn remove_prefix(
    peer: &Peer,
    prefix: &'static str,
) -> impl Future<Output = Result<u64, SharedError>> + Send + use<> {
    let backplane = peer.cache.backplane().clone();
    async move { backplane.remove_prefix(prefix, Position(9)).await }
}

#[test]
fn an_acknowledged_invalidation_holds_here_at_once_and_elsewhere_on_delivery() {
    let bed = Bed::new();
    let (here, there) = (bed.peer(policy()), bed.peer(policy()));
    let origin = bed.origin("one").tagged(&["pitch:1"], &["creator:7"]);
    for tag in ["pitch:1", "creator:7"] {
        bed.run(here.get("page/1", &origin)).expect("loaded");
        bed.run(there.get("page/1", &origin)).expect("loaded");
        let loads = origin.loads();
        let invalidating = here.invalidate(tag, Strength::Hard);
        let getting = here.get("page/1", &origin);
        let got = bed.run(async move {
            invalidating.await.expect("acknowledged");
            getting.await
        });
        assert_eq!(served(got), from_source("one"), "{tag}");
        bed.settle();
        assert_eq!(
            served(bed.run(there.get("page/1", &origin))),
            from_shared("one"),
            "not what it had in memory: {tag}"
        );
        assert_eq!(origin.loads(), loads + 1);
    }
    bed.run(here.invalidate("pitch:2", Strength::Hard))
        .expect("acknowledged");
    bed.settle();
    assert_eq!(
        served(bed.run(here.get("page/1", &origin))),
        from_memory("one"),
        "others are not touched"
    );
}

#[test]
fn an_invalidation_that_was_not_acknowledged_holds_here_and_the_shared_tier_is_not_believed() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("old"));
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    bed.run(peer.get("page/2", &origin)).expect("loaded");
    origin.set("new");
    peer.asks.tier.set_link(Link::Cut);
    assert!(bed.run(peer.invalidate("pitch:1", Strength::Hard)).is_err());
    peer.asks.tier.set_link(Link::Well);
    peer.asks.take_calls();
    assert!(peer.node.is_distrusted());
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_source("new"),
        "the shared tier still has the old one"
    );
    assert!(peer.asks.take_calls().is_empty());
    assert_eq!(origin.last_load().position, Position::SOURCE);
}

#[test]
fn an_invalidation_that_is_dropped_before_its_answer_counts_as_not_acknowledged() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("old"));
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    peer.asks.tier.set_link(Link::Hung);
    let invalidating = bed.begin(peer.invalidate("pitch:1", Strength::Hard));
    bed.settle();
    invalidating.cut();
    origin.set("new");
    assert!(peer.node.is_distrusted());
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_source("new")
    );
}

#[test]
fn a_removed_key_is_gone_from_every_tier_of_every_node() {
    let bed = Bed::new();
    let (here, there) = (bed.peer(policy()), bed.peer(policy()));
    let origin = bed.origin("one");
    for peer in [&here, &there] {
        for key in ["page/1", "page/2"] {
            bed.run(peer.get(key, &origin)).expect("loaded");
        }
    }
    bed.run(here.remove("page/1")).expect("acknowledged");
    bed.settle();
    assert!(bed.tier.stored("page/1").is_none());
    for peer in [&here, &there] {
        assert!(peer.cache.peek("page/1").is_none());
        assert!(peer.cache.peek("page/2").is_some());
    }
}

#[test]
fn a_removed_prefix_is_gone_from_every_tier_of_every_node() {
    let bed = Bed::new();
    let (here, there) = (bed.peer(policy()), bed.peer(policy()));
    let origin = bed.origin("one");
    for peer in [&here, &there] {
        for key in ["page/1", "page/12", "list/1"] {
            bed.run(peer.get(key, &origin)).expect("loaded");
        }
    }
    let removed = bed.run(remove_prefix(&here, "page/1"));
    assert_eq!(removed.expect("acknowledged"), 2);
    bed.settle();
    for peer in [&here, &there] {
        assert!(peer.cache.peek("page/1").is_none());
        assert!(peer.cache.peek("page/12").is_none());
        assert!(peer.cache.peek("list/1").is_some());
    }
}

#[test]
fn a_load_in_flight_does_not_bring_a_removed_prefix_back() {
    let bed = Bed::new();
    for peer in [bed.peer(policy()), bed.alone(policy())] {
        let origin = bed.origin("old");
        origin.takes(ms(100));
        let reader = bed.begin(peer.get("page/1", &origin));
        bed.advance(ms(50));
        origin.set("new");
        bed.run(remove_prefix(&peer, "page/")).expect("removed");
        bed.advance(secs(1));
        reader.output().expect("an answer");
        let got = bed.begin(peer.get("page/1", &origin));
        bed.advance(ms(100));
        assert_eq!(served(got.output()).0, "new");
        bed.run(remove_prefix(&peer, "page/")).expect("removed");
    }
}

#[test]
fn alone_an_invalidation_is_done_when_it_returns() {
    let bed = Bed::new();
    let (peer, origin) = (bed.alone(policy()), bed.origin("old"));
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    origin.set("new");
    bed.run(peer.invalidate("pitch:1", Strength::Hard))
        .expect("there is nobody to ask");
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_source("new")
    );
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_memory("new")
    );
}

#[test]
fn a_reader_of_what_is_changed_all_the_time_gets_an_answer() {
    let bed = Bed::new();
    let (here, there) = (bed.peer(policy()), bed.peer(policy()));
    let origin = bed.origin("one").tagged(&["pitch:1"], &[]);
    bed.run(there.get("page/1", &origin)).expect("loaded");
    here.asks.answers_take(ms(10));
    let reader = bed.begin(here.get("page/1", &origin));
    bed.settle();
    for _ in 0..4 {
        assert!(!reader.has_ended());
        // While what is valid is on its way to the reader.
        bed.run(there.invalidate("pitch:1", Strength::Hard))
            .expect("acknowledged");
        bed.run(there.get("page/1", &origin)).expect("loaded");
        bed.advance(ms(10));
    }
    bed.settle();
    assert_eq!(served(reader.output()), from_source("one"));
}
