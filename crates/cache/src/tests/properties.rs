//! What holds whatever the numbers are.

use std::time::Duration;

use bytes::Bytes;
use pitchey_runtime::{Clock as _, Monotonic};
use proptest::prelude::*;

use super::bed::{Bed, PAGE, Text, policy};
use crate::build::encode;
use crate::entry::Verdict;
use crate::policy::Policy;
use crate::shared::{Meta, Stored};
use crate::stamp::{AsOf, Seq, Stamp};

fn any_seq() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..1 << 40, Just(0), Just((1 << 40) - 1), any::<u64>()]
}

fn any_meta() -> impl Strategy<Value = Meta> {
    (1_u64..10_000_000, 0_u64..10_000_000, 0_u64..10_000_000).prop_map(|(fresh, stale, error)| {
        Meta {
            fresh_ms: fresh,
            stale_ms: fresh + stale,
            error_ms: fresh + error,
            cost_us: 1,
            absent: false,
        }
    })
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let time = || prop_oneof![0_u64..100, 0_u64..100_000, 0_u64..40_000_000];
    let times = proptest::array::uniform8(time());
    (times, 0_u32..80, -1.0_f64..120.0, any::<bool>()).prop_map(|(times, jitter, beta, strict)| {
        let [
            memory,
            shared,
            fresh,
            revalidate,
            error,
            negative,
            soft,
            hard,
        ] = times.map(Duration::from_secs);
        Policy {
            memory,
            shared,
            fresh,
            stale_while_revalidate: revalidate,
            stale_if_error: error,
            negative,
            jitter_percent: jitter,
            early_refresh: beta,
            strict,
            soft_timeout: soft,
            hard_timeout: hard,
            ..Policy::default()
        }
    })
}

proptest! {
    #[test]
    fn stamps_are_ordered_by_era_and_then_by_number(
        eras in proptest::array::uniform2(0_u64..1 << 24),
        seqs in proptest::array::uniform2(any_seq()),
    ) {
        let [one, other] = [0, 1].map(|n| Stamp::new(eras[n], Seq(seqs[n])));
        let most = (1 << 40) - 1;
        let (seq, other_seq) = (seqs[0].min(most), seqs[1].min(most));
        prop_assert_eq!(one.cmp(&other), (eras[0], seq).cmp(&(eras[1], other_seq)));
        prop_assert_eq!(one.era(), eras[0]);
        prop_assert_eq!(Stamp::from_bits(one.bits()), one);
    }

    #[test]
    fn a_policy_that_passes_keeps_its_times_in_order(policy in any_policy(), absent: bool, shared: bool) {
        let mut problems = Vec::new();
        policy.validate("any", &mut problems);
        if !problems.is_empty() {
            return Ok(());
        }
        let fresh = policy.fresh_with(shared);
        prop_assert!(fresh <= policy.fresh);
        prop_assert!(policy.negative <= policy.fresh && policy.memory <= policy.fresh);
        let bed = Bed::new();
        let peer = bed.alone(policy.clone());
        let meta = peer.cache.inner.meta(PAGE, shared, absent, Duration::from_millis(5));
        let whole = if absent { policy.negative } else { fresh };
        let least = whole.mul_f64(1.0 - f64::from(policy.jitter_percent) / 100.0);
        prop_assert!(Duration::from_millis(meta.fresh_ms) <= whole);
        prop_assert!(Duration::from_millis(meta.fresh_ms + 1) >= least);
        prop_assert!(meta.fresh_ms <= meta.stale_ms && meta.fresh_ms <= meta.error_ms);
        prop_assert_eq!(meta.ends_ms(), meta.stale_ms.max(meta.error_ms));
    }

    #[test]
    fn an_entry_found_is_as_old_here_as_it_was_there(
        meta in any_meta(),
        age_ms in 0_u64..12_000_000,
        // From before the clock of this node began to long after.
        advance_ms in 0_u64..20_000_000,
        later_ms in 0_u64..12_000_000,
    ) {
        let bed = Bed::new();
        let peer = bed.alone(Policy { shared: Duration::ZERO, ..policy() });
        // A node that is attached, by hand: listening would take thousands of steps.
        let node = crate::node::Node::new(crate::node::NodeConfig::default());
        bed.world.run(bed.now());
        let asked = Monotonic::from_start(bed.world.now().since_start() + Duration::from_millis(advance_ms));
        let as_of = AsOf::default();
        prop_assert!(node.attach(as_of, crate::stamp::Position::default(), asked));
        let begin = peer.node.begin(asked);
        let stored = Stored {
            as_of,
            age: Duration::from_millis(age_ms),
            meta,
            tags: Vec::new(),
            softened: false,
            payload: encode(&Text("x".to_owned())),
        };
        // A node that is alone knows no epoch.
        prop_assert!(peer.cache.inner.found(PAGE, "k", stored.clone(), (begin, asked)).is_err());
        let peer = bed.detached(policy());
        prop_assert!(peer.node.attach(as_of, crate::stamp::Position::default(), asked));
        let begin = peer.node.begin(asked);
        let Ok(entry) = peer.cache.inner.found(PAGE, "k", stored, (begin, asked)) else {
            return Err(TestCaseError::fail("it is of this epoch"));
        };
        let at = asked + Duration::from_millis(later_ms);
        let age = age_ms + later_ms;
        let wanted = match age {
            _ if age < meta.fresh_ms => [Verdict::Fresh, Verdict::Elapsed],
            _ if age < meta.stale_ms => [Verdict::Stale; 2],
            _ => [Verdict::Expired; 2],
        };
        prop_assert!(wanted.contains(&entry.judge(at, true)));
        prop_assert_eq!(entry.may_replace_error(at), age < meta.ends_ms());
        let left = Duration::from_millis(meta.fresh_ms.saturating_sub(age));
        prop_assert_eq!(entry.fresh_for(at), left);
    }

    #[test]
    fn no_bytes_from_the_shared_tier_are_more_than_a_miss(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let peer = Bed::new().detached(policy());
        let asked = Monotonic::from_start(Duration::from_secs(1));
        prop_assert!(peer.node.attach(AsOf::default(), crate::stamp::Position::default(), asked));
        let begin = peer.node.begin(asked);
        let readable = bytes.starts_with(&[7, 0]) && std::str::from_utf8(&bytes[2..]).is_ok();
        let stored = Stored {
            as_of: AsOf::default(),
            age: Duration::MAX,
            meta: Meta { fresh_ms: u64::MAX, stale_ms: u64::MAX, error_ms: u64::MAX, cost_us: u64::MAX, absent: false },
            tags: Vec::new(),
            softened: false,
            payload: Bytes::from(bytes),
        };
        let found = peer.cache.inner.found(PAGE, "k", stored, (begin, asked));
        prop_assert_eq!(found.is_ok(), readable);
    }
}
