//! Carrying plans out.

use std::future::Future;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;

use super::bed::{Bed, Origin, PAGE, Peer, ms, policy, secs};
use crate::warm::{Plan, Planned, Warmed, Warmer, WarmerConfig};

fn warmer(concurrency: usize, per_second: u32) -> Arc<Warmer> {
    Arc::new(Warmer::new(WarmerConfig {
        concurrency: NonZeroUsize::new(concurrency).expect("more than none"),
        per_second: NonZeroU32::new(per_second).expect("more than none"),
        ..WarmerConfig::default()
    }))
}

fn plan(keys: usize) -> Plan {
    let mut plan = Plan::new(1000);
    for key in 0..keys {
        plan.add(Planned {
            kind: PAGE,
            key: format!("page/{key}").into(),
            priority: 0.0,
        });
    }
    plan
}

fn run(
    peer: &Peer,
    warmer: &Arc<Warmer>,
    plan: Plan,
    origin: &Origin,
) -> impl Future<Output = Warmed> + Send + use<> {
    let (cache, warmer, origin) = (peer.cache.clone(), warmer.clone(), origin.clone());
    async move {
        let source = |item: &Planned| (&*item.key != "page/0").then(|| origin.clone());
        warmer.run(&cache, plan, source).await
    }
}

#[test]
fn a_run_loads_what_is_not_fresh_in_the_background_and_tells_what_came_of_it() {
    let bed = Bed::new();
    let (peer, origin) = (bed.peer(policy()), bed.origin("one"));
    bed.run(peer.get("page/1", &origin)).expect("loaded");
    let other = bed.peer(policy());
    bed.run(other.get("page/2", &origin)).expect("loaded");
    let warmed = bed.run(run(&peer, &warmer(2, 1000), plan(10), &origin));
    let wanted = Warmed {
        fresh: 1,
        found: 1,
        loaded: 7,
        left_out: 1,
        ..Warmed::default()
    };
    assert_eq!(warmed, wanted);
    assert!(origin.last_load().background);
    assert_eq!(origin.loads(), 9);
    origin.fails(true);
    bed.advance(secs(200));
    let warmed = bed.run(run(&peer, &warmer(2, 1000), plan(3), &origin));
    assert_eq!((warmed.failed, warmed.left_out), (2, 1));
}

#[test]
fn runs_keep_to_the_concurrency_and_the_rate_together() {
    let bed = Bed::new();
    let (peer, origin) = (bed.alone(policy()), bed.origin("one"));
    origin.takes(secs(1));
    let slow = warmer(3, 1000);
    let runs = [1, 2].map(|_| bed.begin(run(&peer, &slow, plan(100), &origin)));
    bed.advance(ms(900));
    assert_eq!(origin.loads(), 3, "three at a time");
    for begun in runs {
        begun.cut();
    }
    bed.advance(secs(10));
    assert_eq!(origin.loads(), 3, "dropped, it goes no further");
    assert_eq!(peer.cache.in_flight(), 0);

    let (peer, origin) = (bed.alone(policy()), bed.origin("one"));
    let paced = warmer(3, 10);
    let begun = bed.begin(run(&peer, &paced, plan(100), &origin));
    bed.advance(secs(1));
    assert_eq!(origin.loads(), 11, "ten a second, and one at once");
    bed.advance(secs(9));
    assert_eq!(begun.output().loaded, 99);
}
