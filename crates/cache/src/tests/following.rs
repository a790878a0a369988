//! Keeping a node attached.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pitchey_runtime::Monotonic;

use super::bed::{Bed, NothingLeft, from_source, ms, policy, secs, served};
use crate::follow::{CatchUp, Lost};
use crate::node::{Gap, Node, NodeConfig};
use crate::shared::{Announced, Announcement, Strength};
use crate::sim::tier::{Link, Tier};
use crate::stamp::{AsOf, Epoch, Position, Seq};

const EPOCH: Epoch = Epoch(7);

fn as_of(seq: u64) -> AsOf {
    AsOf {
        epoch: EPOCH,
        seq: Seq(seq),
    }
}

fn announcement(seq: u64) -> Announcement {
    Announcement {
        epoch: EPOCH,
        seq: Seq(seq),
        position: Position(seq * 100),
        event: Announced::Tags(vec!["pitch:1".into()], Strength::Hard),
    }
}

fn at(ms_since: u64) -> Monotonic {
    Monotonic::from_start(secs(10) + ms(ms_since))
}

fn attached() -> Node {
    let node = Node::new(NodeConfig::default());
    node.begin_catching_up();
    assert!(node.attach(as_of(5), Position(500), at(0)));
    node
}

#[test]
fn a_node_that_was_never_attached_asks_nobody_and_trusts_its_own_loads_briefly() {
    let bed = Bed::new();
    let (peer, origin) = (bed.detached(policy()), bed.origin("one"));
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    assert!(peer.asks.take_calls().is_empty());
    assert!(!peer.node.status(bed.now()).attached);
    bed.advance(secs(1) + ms(1));
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_source("one")
    );
}

#[test]
fn announcements_are_applied_in_order_and_one_that_is_missing_is_a_gap() {
    let node = attached();
    assert_eq!(node.apply(&announcement(6)), Ok(()));
    assert_eq!(node.apply(&announcement(6)), Ok(()), "heard before");
    assert_eq!(node.apply(&announcement(3)), Ok(()), "from before");
    assert_eq!(node.applied(), Seq(6));
    assert_eq!(node.apply(&announcement(8)), Err(Gap));
    assert_eq!(node.applied(), Seq(6));
    let other = Announcement {
        epoch: Epoch(8),
        ..announcement(7)
    };
    assert_eq!(node.apply(&other), Err(Gap));
    assert_eq!(node.begin(at(0)).position, Position(600));
}

#[test]
fn what_was_heard_says_how_far_a_copy_must_be_unless_more_is_known_than_was_heard() {
    let node = attached();
    let heard = |seq, position| {
        let (epoch, seq) = (EPOCH, Seq(seq));
        Some((AsOf { epoch, seq }, Position(position)))
    };
    node.apply(&announcement(6)).expect("the next one");
    assert_eq!(node.heard(at(0)), heard(6, 600));
    let told = AsOf {
        epoch: EPOCH,
        seq: Seq(7),
    };
    assert!(node.heard_of(told));
    assert_eq!(node.heard(at(0)), None, "a copy may not show the seventh");
    node.apply(&announcement(7)).expect("the next one");
    assert_eq!(node.heard(at(0)), heard(7, 700));
    assert_eq!(node.heard(at(60_000)), None, "nothing was heard for long");
    node.detach();
    assert_eq!(node.heard(at(0)), None);
}

#[test]
fn a_proof_prolongs_trust_only_once_everything_was_heard() {
    let node = attached();
    assert_eq!(node.status(at(400)).trusted_for, ms(600));
    assert_eq!(node.prove(as_of(6), at(500)), Ok(false), "6 was not heard");
    assert_eq!(node.status(at(500)).trusted_for, ms(500));
    node.apply(&announcement(6)).expect("the next");
    assert_eq!(node.prove(as_of(6), at(500)), Ok(true));
    assert_eq!(node.status(at(500)).trusted_for, secs(1));
}

#[test]
fn a_proof_that_comes_late_or_from_another_epoch_is_none() {
    assert_eq!(attached().prove(as_of(5), at(1000)), Ok(true));
    assert_eq!(attached().prove(as_of(5), at(1001)), Err(Gap));
    let other = AsOf {
        epoch: Epoch(8),
        seq: Seq(5),
    };
    assert_eq!(attached().prove(other, at(0)), Err(Gap));
    let node = attached();
    node.detach();
    assert_eq!(node.prove(as_of(5), at(0)), Err(Gap));
}

#[test]
fn a_node_is_not_attached_when_an_invalidation_failed_while_it_was_caught_up() {
    let node = attached();
    node.begin_catching_up();
    node.unacknowledged(&["pitch:1".into()], Strength::Hard, Position::default());
    assert!(!node.attach(as_of(9), Position::default(), at(10)));
    assert!(!node.status(at(10)).attached);
    node.begin_catching_up();
    assert!(node.attach(as_of(9), Position::default(), at(10)));
    assert!(!node.is_distrusted());
}

#[test]
fn a_missed_announcement_is_noticed_at_the_next_proof_and_memory_is_not_trusted_then() {
    let bed = Bed::new();
    let (here, there) = (bed.peer(policy()), bed.peer(policy()));
    let origin = bed.origin("old");
    bed.run(here.get("page/1", &origin)).expect("loaded");
    let era = here.node.status(bed.now()).era;
    origin.set("new");
    bed.tier.trim_next();
    bed.run(there.invalidate("pitch:1", Strength::Hard))
        .expect("acknowledged");
    bed.advance(secs(1));
    assert_eq!(
        served(bed.run(here.get("page/1", &origin))),
        from_source("new")
    );
    let status = here.node.status(bed.now());
    assert!(status.attached && status.era > era);
    let lost = here.lost.lock().expect("no panic");
    assert!(matches!(lost[..], [Lost::Gap(_)]), "{lost:?}");
}

#[test]
fn a_node_whose_invalidation_failed_is_attached_again_once_it_is_delivered() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("one"));
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    peer.asks.tier.set_link(Link::Cut);
    let done = bed.run(peer.invalidate("pitch:1", Strength::Hard));
    assert!(done.is_err());
    assert!(!peer.node.status(bed.now()).attached);
    bed.advance(secs(1));
    assert!(peer.node.status(bed.now()).attached, "caught up");
    let lost = peer.lost.lock().expect("no panic");
    assert!(
        matches!(lost[..], [Lost::Distrusted | Lost::Gap(_)]),
        "{lost:?}"
    );
}

/// Delivers when it is told that it can.
struct Delivers {
    can: Arc<AtomicBool>,
    tried: Arc<AtomicUsize>,
}

impl CatchUp for Delivers {
    async fn catch_up(&self) -> bool {
        self.tried.fetch_add(1, Ordering::Relaxed);
        self.can.load(Ordering::Relaxed)
    }
}

#[test]
fn a_node_is_not_attached_before_what_was_left_is_delivered() {
    let bed = Bed::new();
    let (peer, origin) = (bed.detached(policy()), bed.origin("one"));
    let (can, tried) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let delivers = Delivers {
        can: can.clone(),
        tried: tried.clone(),
    };
    bed.follow(&peer, delivers);
    bed.advance(secs(10));
    assert!(!peer.node.status(bed.now()).attached);
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    assert!(peer.asks.take_calls().is_empty());
    let tries = tried.load(Ordering::Relaxed);
    assert!((5..20).contains(&tries), "{tries}: with growing pauses");
    can.store(true, Ordering::Relaxed);
    bed.advance(secs(2));
    assert!(peer.node.status(bed.now()).attached);
    let lost = peer.lost.lock().expect("no panic");
    assert!(lost.iter().all(|why| matches!(why, Lost::Undelivered)));
}

#[test]
fn a_shared_tier_that_comes_back_empty_is_of_another_epoch_and_nothing_old_is_served() {
    let bed = Bed::new();
    let (here, there) = (bed.peer(policy()), bed.peer(policy()));
    let origin = bed.origin("old");
    bed.run(here.get("page/1", &origin)).expect("loaded");
    bed.run(there.get("page/1", &origin)).expect("found");
    bed.tier.set_up(false);
    bed.advance(secs(2));
    origin.set("new");
    bed.tier.restart(true);
    bed.advance(secs(5));
    for peer in [&here, &there] {
        assert!(peer.node.status(bed.now()).attached);
        assert_eq!(served(bed.run(peer.get("page/1", &origin))).0, "new");
    }
    assert_eq!(origin.loads(), 2);
}

#[test]
fn a_node_comes_back_after_its_link_was_cut() {
    let bed = Bed::new();
    let peer = bed.detached(policy());
    peer.hears.set_link(Link::Cut);
    bed.follow(&peer, NothingLeft);
    bed.advance(secs(3));
    assert!(!peer.node.status(bed.now()).attached);
    peer.hears.set_link(Link::Well);
    bed.advance(secs(2) + ms(1));
    assert!(peer.node.status(bed.now()).attached);
}

/// Tells the shared tier a position, which loses everything right afterwards, for the first time.
struct ForgottenOnce {
    tier: Tier,
    called: AtomicUsize,
}

impl CatchUp for ForgottenOnce {
    async fn catch_up(&self) -> bool {
        let told = self.tier.reach(Position(9)).await.is_ok();
        if self.called.fetch_add(1, Ordering::Relaxed) == 0 {
            self.tier.restart(true);
        }
        told
    }
}

#[test]
fn a_node_is_not_attached_to_an_epoch_that_has_not_been_told_how_far_the_source_is() {
    let bed = Bed::new();
    let (peer, origin) = (bed.detached(policy()), bed.origin("one"));
    let catch_up = ForgottenOnce {
        tier: peer.hears.clone(),
        called: AtomicUsize::new(0),
    };
    bed.follow(&peer, catch_up);
    bed.advance(secs(1));
    assert!(peer.node.status(bed.now()).attached);
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    assert_eq!(origin.last_load().position, Position(9));
}
