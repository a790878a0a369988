//! Failures that other caches are known for, and those that the simulation found in this one.

use std::sync::Arc;

use super::bed::{
    Bed, Failed, Peer, Text, from_memory, from_shared, from_source, ms, policy, secs, served,
};
use crate::entry::{Entry, Load, Loaded, Source};
use crate::node::{Node, NodeConfig};
use crate::policy::Policy;
use crate::shared::{Meta, Strength};
use crate::sim::tier::Link;
use crate::stamp::{AsOf, Epoch, Position, Seq};
use crate::stats::Counter;

#[test]
fn a_tag_invalidated_during_an_eager_refresh_is_not_refreshed_away() {
    let bed = Bed::new();
    let eager = Policy {
        early_refresh: 100.0,
        ..policy()
    };
    for peer in [bed.peer(eager.clone()), bed.alone(eager)] {
        let origin = bed.origin("old");
        origin.takes(secs(2));
        bed.run(peer.get("page/1", &origin)).expect("loaded");
        bed.advance(secs(20));
        // With this eagerness one of so many refreshes.
        for _ in 0..100 {
            bed.run(peer.get("page/1", &origin)).expect("fresh");
        }
        bed.advance(secs(1));
        assert_eq!(origin.loads(), 2, "a refresh is under way");
        origin.set("new");
        bed.run(peer.invalidate("pitch:1", Strength::Hard))
            .expect("done");
        bed.advance(secs(5));
        let got = bed.run(peer.get("page/1", &origin));
        assert_eq!(served(got).0, "new");
        bed.run(peer.remove("page/1")).expect("done");
    }
}

#[test]
fn an_entry_is_not_stamped_anew_after_its_tag_was_invalidated() {
    let bed = Bed::new();
    // Alone there is no fill to be refused: only the stamp from before the load says that it is old.
    let (peer, origin) = (bed.alone(policy()), bed.origin("old"));
    origin.takes(ms(100));
    let before = bed.begin(peer.get("page/1", &origin));
    bed.advance(ms(50));
    origin.set("new");
    bed.run(peer.invalidate("pitch:1", Strength::Hard))
        .expect("done");
    bed.advance(ms(50));
    assert_eq!(
        served(before.output()),
        from_source("old"),
        "it asked before"
    );
    let after = bed.begin(peer.get("page/1", &origin));
    bed.advance(ms(100));
    assert_eq!(served(after.output()), from_source("new"));
    assert_eq!(peer.count(Counter::Invalid), 1);
}

#[test]
fn a_tag_that_only_the_load_finds_counts_from_before_the_load() {
    let bed = Bed::new();
    for peer in [bed.peer(policy()), bed.alone(policy())] {
        let origin = bed.origin("old").tagged(&["pitch:1"], &["creator:7"]);
        origin.takes(ms(100));
        let before = bed.begin(peer.get("page/1", &origin));
        bed.advance(ms(50));
        origin.set("new");
        bed.run(peer.invalidate("creator:7", Strength::Hard))
            .expect("done");
        let joined = bed.begin(peer.get("page/1", &origin));
        bed.advance(secs(1));
        before.output().expect("an answer");
        assert_eq!(served(joined.output()).0, "new");
        let got = bed.begin(peer.get("page/1", &origin));
        bed.advance(ms(100));
        assert_eq!(served(got.output()).0, "new");
        bed.run(peer.remove("page/1")).expect("done");
    }
}

#[test]
fn a_key_that_is_deleted_during_its_load_stays_deleted() {
    let bed = Bed::new();
    for peer in [bed.peer(policy()), bed.alone(policy())] {
        let origin = bed.origin("old");
        origin.takes(ms(100));
        let before = bed.begin(peer.get("page/1", &origin));
        bed.advance(ms(50));
        origin.set("new");
        bed.run(peer.remove("page/1")).expect("done");
        let after = bed.begin(peer.get("page/1", &origin));
        bed.advance(secs(1));
        before.output().expect("an answer");
        assert_eq!(served(after.output()).0, "new");
        let got = bed.run(peer.get("page/1", &origin));
        assert_eq!(served(got).0, "new");
        bed.run(peer.remove("page/1")).expect("done");
    }
}

fn entry(bed: &Bed, peer: &Peer, text: &str, born_ms: u64) -> Arc<Entry<Text>> {
    let inner = &peer.cache.inner;
    let now = bed.now();
    let stamp = peer.node.begin(now).stamp;
    let meta = Meta {
        fresh_ms: 90_000,
        stale_ms: 90_000,
        error_ms: 90_000,
        cost_us: 0,
        absent: false,
    };
    let born = now + ms(born_ms);
    let made = inner.made(
        super::bed::PAGE,
        "page/1",
        Text(text.to_owned()),
        (stamp, now),
        &["pitch:1".into()],
        (meta, born),
    );
    Arc::new(made)
}

#[test]
fn an_older_entry_of_the_second_tier_does_not_replace_a_newer_one_of_the_first() {
    let bed = Bed::new();
    let peer = bed.peer(policy());
    let (older, newer) = (
        entry(&bed, &peer, "older", 1),
        entry(&bed, &peer, "newer", 2),
    );
    let key: Arc<str> = "page/1".into();
    let there = || {
        peer.cache
            .peek("page/1")
            .expect("an entry")
            .value()
            .0
            .clone()
    };
    peer.cache.inner.keep(&key, &newer);
    peer.cache.inner.keep(&key, &older);
    assert_eq!(there(), "newer");
    // But what was invalidated gives way, however young it is.
    bed.run(peer.invalidate("pitch:1", Strength::Hard))
        .expect("done");
    let valid = entry(&bed, &peer, "valid", 0);
    peer.cache.inner.keep(&key, &valid);
    assert_eq!(there(), "valid");
}

#[test]
fn a_chain_of_leaders_that_are_dropped_forgets_no_waiter() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("one"));
    origin.takes(ms(100));
    let mut readers: Vec<_> = (0..20)
        .map(|_| {
            let reader = bed.begin(peer.get("page/1", &origin));
            bed.settle();
            reader
        })
        .collect();
    let last = readers.pop().expect("there are twenty");
    for (n, reader) in readers.into_iter().enumerate() {
        bed.advance(ms(1));
        assert!(origin.loads() <= n + 1);
        reader.cut();
        bed.settle();
    }
    bed.advance(ms(200));
    assert_eq!(served(last.output()).0, "one");
    assert_eq!((peer.cache.in_flight(), bed.tier.leases()), (0, 0));
}

/// A source that panics.
struct Panics;

impl Source<Text, Failed> for Panics {
    fn tags(&self) -> Vec<Box<str>> {
        Vec::new()
    }

    async fn load(&self, _: Load) -> Result<Loaded<Text>, Failed> {
        panic!("a source of the test panics")
    }
}

#[test]
fn a_leader_that_panics_leaves_nobody_waiting() {
    let bed = Bed::new();
    let (peer, origin) = (bed.alone(policy()), bed.origin("one"));
    let cache = peer.cache.clone();
    let panics = bed.begin(async move { cache.get(super::bed::PAGE, "page/1", Panics).await });
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bed.settle()));
    assert!(panicked.is_err());
    assert!(!panics.has_ended());
    assert_eq!(peer.cache.in_flight(), 0);
    let got = bed.run(peer.get("page/1", &origin));
    assert_eq!(served(got), from_source("one"));
}

#[test]
fn a_removal_says_how_far_a_copy_of_the_source_must_have_come() {
    let bed = Bed::new();
    let (here, there) = (bed.peer(policy()), bed.peer(policy()));
    let origin = bed.origin("one");
    for (key, position) in [("page/1", Position(9)), ("page/2", Position(10))] {
        bed.run(here.get(key, &origin)).expect("loaded");
        let backplane = here.cache.backplane().clone();
        bed.run(async move {
            if key == "page/1" {
                backplane.remove(&[key.into()], position).await.map(|()| 0)
            } else {
                backplane.remove_prefix(key, position).await
            }
        })
        .expect("acknowledged");
        bed.settle();
        bed.run(there.get(key, &origin)).expect("loaded");
        assert_eq!(origin.last_load().position, position);
        bed.run(here.get("page/other", &origin)).expect("loaded");
        bed.run(here.remove("page/other")).expect("acknowledged");
        assert_eq!(origin.last_load().position, position);
    }
    // Alone, too.
    let alone = bed.alone(policy());
    let backplane = alone.cache.backplane().clone();
    bed.run(async move { backplane.remove(&["page/1".into()], Position(11)).await })
        .expect("done");
    bed.run(alone.get("page/1", &origin)).expect("loaded");
    assert_eq!(origin.last_load().position, Position(11));
}

#[test]
fn what_a_node_numbers_by_itself_is_later_than_all_it_has_seen_numbered() {
    let bed = Bed::new();
    let (here, there) = (bed.peer(policy()), bed.peer(policy()));
    let origin = bed.origin("old");
    // It does not hear of these.
    here.hears.set_link(Link::Hung);
    for n in 0..5 {
        bed.run(there.invalidate(&format!("other:{n}"), Strength::Hard))
            .expect("acknowledged");
    }
    bed.run(here.get("page/1", &origin))
        .expect("loaded under a lease with their numbers");
    origin.set("new");
    here.asks.tier.set_link(Link::Cut);
    let done = bed.run(here.invalidate("pitch:1", Strength::Hard));
    assert!(done.is_err());
    assert_eq!(
        served(bed.run(here.get("page/1", &origin))),
        from_source("new")
    );
}

#[test]
fn a_refresh_in_no_table_does_not_survive_a_removal() {
    let bed = Bed::new();
    let (here, there) = (bed.peer(policy()), bed.peer(policy()));
    let origin = bed.origin("old");
    bed.run(there.get("page/1", &origin)).expect("loaded");
    bed.advance(secs(95));
    origin.takes(ms(100));
    let (_, _, state) = served(bed.run(here.get("page/1", &origin)));
    assert_eq!(state, crate::answer::State::Stale, "from the shared tier");
    bed.advance(ms(50));
    assert_eq!((origin.loads(), here.cache.in_flight()), (2, 0));
    origin.set("new");
    bed.run(here.remove("page/1")).expect("acknowledged");
    bed.advance(secs(1));
    let got = bed.begin(here.get("page/1", &origin));
    bed.advance(ms(100));
    assert_eq!(served(got.output()).0, "new");
}

#[test]
fn a_lease_is_not_stamped_into_a_later_era() {
    let node = Node::new(NodeConfig::default());
    let at = pitchey_runtime::Monotonic::from_start(secs(5));
    let as_of = AsOf {
        epoch: Epoch(7),
        seq: Seq(5),
    };
    assert!(node.attach(as_of, Position::default(), at));
    let begin = node.begin(at);
    assert!(node.stamp_of(as_of, begin).is_some());
    // Between the question and its answer it was cut off and attached again: what it missed in between
    // the lease does not know.
    node.detach();
    assert!(node.attach(as_of, Position::default(), at));
    assert!(node.stamp_of(as_of, begin).is_none());
    let other = AsOf {
        epoch: Epoch(8),
        ..as_of
    };
    assert!(node.stamp_of(other, node.begin(at)).is_none());
}

#[test]
fn an_entry_in_memory_is_not_trusted_in_a_later_era() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("old"));
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    peer.asks.take_calls();
    let as_of = AsOf {
        epoch: peer.node.status(bed.now()).epoch,
        seq: peer.node.applied(),
    };
    peer.node.detach();
    assert!(peer.node.attach(as_of, Position::default(), bed.now()));
    bed.run(peer.get("page/1", &origin)).expect("compared");
    assert_eq!(peer.asks.take_calls(), ["lookup"]);
}

/// Found while the origin was measured: under load an answer of the shared tier took a moment longer, so its copy
/// seemed a moment older than the one in memory, was not kept, and the next reader asked again, for a minute.
#[test]
fn a_copy_that_was_compared_stays_in_memory_however_its_age_was_measured() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("one"));
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    bed.advance(secs(30));
    bed.tier.skew(3);
    let compared = served(bed.run(peer.get("page/1", &origin)));
    assert_eq!(compared, from_shared("one"));
    let next = served(bed.run(peer.get("page/1", &origin)));
    assert_eq!(next, from_memory("one"));
}
