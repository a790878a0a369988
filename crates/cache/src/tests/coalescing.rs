//! One load, however many ask.

use super::bed::{Bed, from_shared, from_source, ms, policy, secs, served};
use crate::answer::From;
use crate::policy::Policy;
use crate::sim::tier::Link;
use crate::stats::Counter;

#[test]
fn ten_thousand_concurrent_gets_of_a_cold_key_are_one_load() {
    let bed = Bed::new();
    let (peer, origin) = (bed.alone(policy()), bed.origin("one"));
    origin.takes(ms(10));
    let readers: Vec<_> = (0..10_000)
        .map(|_| bed.begin(peer.get("page/1", &origin)))
        .collect();
    bed.settle();
    assert_eq!((origin.loads(), peer.cache.in_flight()), (1, 1));
    bed.advance(ms(10));
    for reader in readers {
        assert_eq!(served(reader.output()).0, "one");
    }
    assert_eq!((origin.loads(), peer.cache.in_flight()), (1, 0));
    assert_eq!(peer.count(Counter::Miss), 1);
    assert_eq!(peer.count(Counter::Coalesced), 9_999);
}

#[test]
fn where_nobody_may_wait_for_another_each_loads_for_itself_and_one_refreshes() {
    let bed = Bed::new();
    let policy = Policy {
        coalesces: false,
        ..policy()
    };
    let (peer, origin) = (bed.alone(policy), bed.origin("one"));
    origin.takes(ms(10));
    let ask = || bed.begin(peer.get("page/1", &origin));
    let readers: Vec<_> = (0..10).map(|_| ask()).collect();
    bed.settle();
    assert_eq!((origin.loads(), peer.cache.in_flight()), (10, 0));
    bed.advance(ms(10));
    for reader in readers {
        assert_eq!(served(reader.output()).0, "one");
    }
    // It is stale, and renewed behind: by one, as long as that takes.
    bed.advance(secs(31));
    origin.set("two");
    for _ in 0..10 {
        let reader = ask();
        bed.settle();
        assert_eq!(served(reader.output()).0, "one");
    }
    assert_eq!((origin.loads(), peer.cache.in_flight()), (11, 0));
    bed.advance(ms(10));
    let reader = ask();
    bed.settle();
    assert_eq!(served(reader.output()).0, "two");
}

#[test]
fn threads_that_ask_at_once_load_each_key_once() {
    const KEYS: usize = 300;
    let bed = Bed::new();
    let peer = bed.alone(policy());
    let origins: Vec<_> = (0..KEYS).map(|_| bed.origin("one")).collect();
    let start = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (key, origin) in origins.iter().enumerate() {
                    start.wait();
                    let got = futures::executor::block_on(peer.get(&format!("page/{key}"), origin));
                    assert_eq!(served(got).0, "one");
                }
            });
        }
    });
    let loads: Vec<usize> = origins.iter().map(super::bed::Origin::loads).collect();
    assert_eq!(loads, [1; KEYS]);
    assert_eq!(peer.stats().answers(), 4 * KEYS as u64);
    assert_eq!(peer.cache.in_flight(), 0);
}

#[test]
fn four_nodes_with_one_shared_tier_load_once_together() {
    let bed = Bed::new();
    let peers: Vec<_> = (0..4).map(|_| bed.peer(policy())).collect();
    let origin = bed.origin("one");
    origin.takes(ms(100));
    let readers: Vec<_> = peers
        .iter()
        .flat_map(|peer| (0..100).map(|_| bed.begin(peer.get("page/1", &origin))))
        .collect();
    bed.advance(ms(200));
    for reader in readers {
        assert_eq!(served(reader.output()).0, "one");
    }
    assert_eq!(origin.loads(), 1);
    let count = |counter| peers.iter().map(|peer| peer.count(counter)).sum::<u64>();
    assert_eq!(count(Counter::Miss), 1);
    assert_eq!(
        count(Counter::Awaited),
        3,
        "one on each other node waits for the lease"
    );
    assert_eq!(
        count(Counter::Coalesced),
        396,
        "the others wait for that one"
    );
    assert_eq!(bed.tier.leases(), 0);
}

#[test]
fn when_the_leaders_node_dies_one_other_node_loads_once_the_lease_has_ended() {
    let bed = Bed::new();
    let peers: Vec<_> = (0..4).map(|_| bed.peer(policy())).collect();
    let origin = bed.origin("one");
    origin.takes(ms(100));
    let leader = bed.begin(peers[0].get("page/1", &origin));
    bed.advance(ms(50));
    leader.cut();
    bed.kill(&peers[0]);
    bed.settle();
    assert_eq!(bed.tier.leases(), 1, "a dead node gives nothing back");
    let readers: Vec<_> = peers[1..]
        .iter()
        .flat_map(|peer| (0..10).map(|_| bed.begin(peer.get("page/1", &origin))))
        .collect();
    bed.advance(secs(1));
    assert_eq!(
        origin.loads(),
        1,
        "the lease lasts for a quarter of the longest load"
    );
    bed.advance(ms(500));
    for reader in readers {
        assert_eq!(served(reader.output()).0, "one");
    }
    assert_eq!(origin.loads(), 2);
    assert!(peers[1..].iter().all(|peer| peer.cache.in_flight() == 0));
}

#[test]
fn a_load_that_takes_long_is_the_only_one_as_long_as_its_node_lives() {
    let bed = Bed::new();
    let peers: Vec<_> = (0..4).map(|_| bed.peer(policy())).collect();
    let origin = bed.origin("one");
    origin.takes(secs(3));
    let readers: Vec<_> = peers
        .iter()
        .flat_map(|peer| (0..10).map(|_| bed.begin(peer.get("page/1", &origin))))
        .collect();
    bed.advance(ms(3_100));
    for reader in readers {
        assert_eq!(served(reader.output()).0, "one");
    }
    assert_eq!((origin.loads(), bed.tier.leases()), (1, 0));
    for peer in &peers {
        let again = bed.run(peer.get("page/1", &origin));
        assert_eq!(served(again).0, "one");
    }
    assert_eq!(origin.loads(), 1, "and it is kept");
}

#[test]
fn a_lease_survives_a_while_without_the_shared_tier() {
    let bed = Bed::new();
    let (slow, other) = (bed.peer(policy()), bed.peer(policy()));
    let origin = bed.origin("one");
    origin.takes(secs(3));
    let first = bed.begin(slow.get("page/1", &origin));
    bed.advance(secs(1));
    slow.asks.tier.set_link(Link::Cut);
    bed.advance(ms(600));
    slow.asks.tier.set_link(Link::Well);
    bed.advance(ms(200));
    let second = bed.begin(other.get("page/1", &origin));
    bed.advance(ms(1_300));
    assert_eq!(served(first.output()), from_source("one"));
    assert_eq!(served(second.output()).0, "one");
    assert_eq!(origin.loads(), 1);
}

#[test]
fn a_load_that_is_cut_off_leaves_its_lease_with_what_is_left_of_it() {
    let bed = Bed::new();
    let (peer, other) = (bed.peer(policy()), bed.peer(policy()));
    let origin = bed.origin("one");
    origin.takes(secs(2));
    let leader = bed.begin(peer.get("page/1", &origin));
    bed.settle();
    let waiter = bed.begin(peer.get("page/1", &origin));
    let elsewhere = bed.begin(other.get("page/1", &origin));
    bed.advance(ms(1_500));
    leader.cut();
    bed.advance(ms(2_100));
    assert_eq!(served(waiter.output()), from_source("one"));
    assert_eq!(served(elsewhere.output()).0, "one");
    assert_eq!(
        (origin.loads(), bed.tier.leases()),
        (2, 0),
        "renewed across both loads"
    );
    assert!(
        bed.tier.stored("page/1").is_some(),
        "the second was stored under the lease of the first"
    );
}

#[test]
fn a_load_that_outlasts_its_lease_is_given_out_and_another_node_loads_meanwhile() {
    let bed = Bed::new();
    let (slow, other) = (bed.peer(policy()), bed.peer(policy()));
    let (late, quick) = (bed.origin("late"), bed.origin("quick"));
    late.takes(ms(4_500));
    quick.takes(ms(100));
    let first = bed.begin(slow.get("page/1", &late));
    bed.advance(secs(1));
    let second = bed.begin(other.get("page/1", &quick));
    bed.advance(ms(2_700));
    assert_eq!(quick.loads(), 0, "three quarters of the longest load");
    bed.advance(ms(250));
    assert_eq!(served(second.output()).0, "quick");
    bed.advance(ms(550));
    assert_eq!(served(first.output()), from_source("late"));
    assert_eq!(
        (late.loads(), quick.loads()),
        (1, 1),
        "what came late is not loaded again"
    );
    let third = bed.begin(slow.get("page/1", &late));
    bed.settle();
    assert_eq!(
        served(third.output()),
        from_shared("quick"),
        "what came late is not kept"
    );
}

#[test]
fn a_dropped_leader_hands_over_to_a_waiter_with_its_lease() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("one"));
    origin.takes(ms(100));
    let leader = bed.begin(peer.get("page/1", &origin));
    bed.settle();
    let waiter = bed.begin(peer.get("page/1", &origin));
    bed.advance(ms(50));
    assert_eq!(origin.loads(), 1);
    leader.cut();
    bed.settle();
    assert_eq!(origin.loads(), 2, "it loads at once");
    bed.advance(ms(100));
    assert_eq!(served(waiter.output()), from_source("one"));
    assert_eq!(peer.asks.take_calls(), ["lookup", "fill"]);
    assert_eq!((bed.tier.leases(), peer.cache.in_flight()), (0, 0));
}

#[test]
fn a_leader_that_is_dropped_alone_gives_its_lease_back() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("one"));
    origin.takes(ms(100));
    let leader = bed.begin(peer.get("page/1", &origin));
    bed.settle();
    assert_eq!(bed.tier.leases(), 1);
    leader.cut();
    bed.settle();
    assert_eq!((bed.tier.leases(), peer.cache.in_flight()), (0, 0));
}

#[test]
fn waiters_that_are_dropped_leave_nothing_behind() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("one"));
    origin.takes(ms(100));
    let leader = bed.begin(peer.get("page/1", &origin));
    bed.settle();
    let waiters: Vec<_> = (0..100)
        .map(|_| bed.begin(peer.get("page/1", &origin)))
        .collect();
    bed.settle();
    for waiter in waiters {
        waiter.cut();
    }
    bed.advance(ms(100));
    assert_eq!(served(leader.output()), from_source("one"));
    assert_eq!((origin.loads(), peer.cache.in_flight()), (1, 0));
}

#[test]
fn a_leader_and_its_waiters_dropped_together_leave_neither_flight_nor_lease() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("one"));
    origin.takes(ms(100));
    let leader = bed.begin(peer.get("page/1", &origin));
    bed.settle();
    let waiters: Vec<_> = (0..3)
        .map(|_| bed.begin(peer.get("page/1", &origin)))
        .collect();
    bed.settle();
    leader.cut();
    for waiter in waiters {
        waiter.cut();
    }
    bed.settle();
    assert_eq!((bed.tier.leases(), peer.cache.in_flight()), (0, 0));
    let reader = bed.begin(peer.get("page/1", &origin));
    bed.advance(ms(100));
    assert_eq!(served(reader.output()), from_source("one"));
}

#[test]
fn whoever_asks_after_an_invalidation_does_not_join_a_load_from_before_it() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("old"));
    origin.takes(ms(100));
    let before = bed.begin(peer.get("page/1", &origin));
    bed.advance(ms(50));
    origin.set("new");
    bed.run(peer.invalidate("pitch:1", crate::shared::Strength::Hard))
        .expect("acknowledged");
    let after = bed.begin(peer.get("page/1", &origin));
    bed.advance(secs(1));
    assert_eq!(served(after.output()).0, "new");
    // The fill was refused, so it was loaded again.
    assert_eq!(served(before.output()).0, "new");
}

#[test]
fn errors_are_told_to_all_who_wait_and_are_not_kept() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("one"));
    origin.takes(ms(10));
    origin.fails(true);
    let readers: Vec<_> = (0..10)
        .map(|_| bed.begin(peer.get("page/1", &origin)))
        .collect();
    bed.advance(ms(10));
    for reader in readers {
        assert!(reader.output().is_err());
    }
    assert_eq!((origin.loads(), bed.tier.leases()), (1, 0));
    origin.fails(false);
    let got = bed.run(peer.get("page/1", &origin));
    assert_eq!(served(got), from_source("one"), "asked again, at once");
    assert_eq!(peer.count(Counter::LoadError), 1);
}

#[test]
fn strict_kinds_ask_the_shared_tier_each_time_and_join_nobody() {
    let bed = Bed::new();
    let strict = Policy {
        strict: true,
        ..policy()
    };
    let (peer, origin) = (bed.peer(strict), bed.origin("one"));
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    peer.asks.take_calls();
    for _ in 0..3 {
        let (text, from, _) = served(bed.run(peer.get("page/1", &origin)));
        assert_eq!((text.as_str(), from), ("one", From::Shared));
    }
    assert_eq!(peer.asks.take_calls(), ["lookup"; 3]);
    origin.takes(ms(100));
    let readers: Vec<_> = (0..3)
        .map(|_| bed.begin(peer.get("page/2", &origin)))
        .collect();
    bed.settle();
    assert_eq!(peer.cache.in_flight(), 0, "none is in the table");
    assert_eq!(peer.asks.take_calls(), ["lookup"; 3]);
    bed.advance(secs(1));
    for reader in readers {
        assert_eq!(served(reader.output()).0, "one");
    }
    assert_eq!(origin.loads(), 2, "the lease is still for one");
}
