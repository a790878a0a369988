//! Lookups, and leases.

use std::time::Duration;

use super::super::{Filled, Granted, Shared as _, Strength, Wish};
use super::given::{LONG, SHORT, entry, fill_of, given, held, leased, lookup, ours, seen, text};
use super::{Harness, Result};
use crate::stamp::{Lease, Position, Token};

/// An empty tier grants the lease to whoever asks first.
pub async fn nothing_is_found_before_a_fill(harness: impl Harness) -> Result {
    let found = harness
        .shared()
        .lookup(&lookup("k", Wish::IfStale, &["t"]))
        .await?;
    assert_eq!(found.entry, None);
    ours(&found);
    Ok(())
}

/// Everything comes back, stamped as of the lease.
pub async fn a_filled_entry_is_found_as_it_was(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let lease = leased(shared, "k", &["t", "u"]).await?;
    let fill = fill_of("k", lease, "text", &["u", "t"]);
    assert_eq!(shared.fill(fill).await?, Filled::Stored);
    let mut found = seen(shared, "k").await?.expect("it was filled");
    found.age = Duration::ZERO;
    assert_eq!(found, entry(lease, "text", &["u", "t"]));
    Ok(())
}

/// That there is nothing is remembered and invalidated like anything else.
pub async fn absence_is_an_entry_too(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let lease = leased(shared, "k", &["t"]).await?;
    let mut fill = fill_of("k", lease, "", &["t"]);
    fill.entry.meta.absent = true;
    assert_eq!(shared.fill(fill).await?, Filled::Stored);
    let found = seen(shared, "k").await?.expect("it was filled");
    assert!(found.meta.absent);
    assert_eq!(found.payload.len(), 0);
    let tags = super::given::names(&["t"]);
    let position = Position::default();
    shared.invalidate(&tags, Strength::Hard, position).await?;
    assert_eq!(seen(shared, "k").await?, None);
    Ok(())
}

/// Whoever only looks does not keep others from loading.
pub async fn without_a_wish_no_lease_is_granted(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let found = shared.lookup(&lookup("k", Wish::Never, &["t"])).await?;
    assert_eq!((found.entry, found.lease), (None, Granted::NotNeeded));
    leased(shared, "k", &["t"]).await?;
    let found = shared.lookup(&lookup("k", Wish::Never, &["t"])).await?;
    assert_eq!(found.lease, Granted::NotNeeded);
    Ok(())
}

/// One has it; the others are told how long it lasts at most.
pub async fn a_lease_is_exclusive(harness: impl Harness) -> Result {
    let shared = harness.shared();
    leased(shared, "k", &["t"]).await?;
    for wish in [Wish::IfStale, Wish::Always] {
        match shared.lookup(&lookup("k", wish, &["t"])).await?.lease {
            Granted::Held(left) => assert!(!left.is_zero() && left <= LONG, "{left:?}"),
            other => panic!("the lease is held, and not {other:?}"),
        }
    }
    leased(shared, "other", &["t"]).await?;
    Ok(())
}

/// A leader that died is taken over, and cannot fill any more if it was only slow.
pub async fn a_lease_expires(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let mut brief = lookup("k", Wish::IfStale, &["t"]);
    brief.lease = SHORT;
    let first = ours(&shared.lookup(&brief).await?);
    harness.pass(SHORT * 2).await;
    let second = leased(shared, "k", &["t"]).await?;
    assert_ne!(first.token, second.token);
    let slow = shared.fill(fill_of("k", first, "slow", &["t"])).await?;
    assert_eq!(slow, Filled::LeaseLost);
    let quick = shared.fill(fill_of("k", second, "quick", &["t"])).await?;
    assert_eq!(quick, Filled::Stored);
    assert_eq!(text(shared, "k").await?.as_deref(), Some("quick"));
    Ok(())
}

/// Whoever lives and loads keeps the right to, and fills what was stamped when it began.
pub async fn a_renewed_lease_lasts(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let mut brief = lookup("k", Wish::IfStale, &["t"]);
    brief.lease = SHORT;
    let lease = ours(&shared.lookup(&brief).await?);
    assert_eq!(shared.renew(&[held("k", lease)], LONG).await?, [true]);
    harness.pass(SHORT * 2).await;
    match shared.lookup(&brief).await?.lease {
        Granted::Held(left) => assert!(left > SHORT && left <= LONG, "{left:?}"),
        other => panic!("the lease is held, and not {other:?}"),
    }
    let fill = fill_of("k", lease, "text", &["t"]);
    assert_eq!(shared.fill(fill).await?, Filled::Stored);
    let found = seen(shared, "k").await?.expect("it was filled");
    assert_eq!(found.as_of, lease.as_of);
    assert!(found.age >= SHORT * 2, "{:?}: from the lease on", found.age);
    Ok(())
}

/// What was given up for dead does not come back.
pub async fn an_expired_lease_is_not_renewed(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let mut brief = lookup("k", Wish::IfStale, &["t"]);
    brief.lease = SHORT;
    let lease = ours(&shared.lookup(&brief).await?);
    harness.pass(SHORT * 2).await;
    assert_eq!(shared.renew(&[held("k", lease)], LONG).await?, [false]);
    leased(shared, "k", &["t"]).await?;
    Ok(())
}

/// A load that was in flight when its key was removed stays without the right to fill.
pub async fn a_removed_lease_is_not_renewed(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let lease = leased(shared, "k", &["t"]).await?;
    let keys = super::given::names(&["k"]);
    shared.remove(&keys, Position::default()).await?;
    assert_eq!(shared.renew(&[held("k", lease)], LONG).await?, [false]);
    let late = shared.fill(fill_of("k", lease, "late", &["t"])).await?;
    assert_eq!(late, Filled::LeaseLost);
    Ok(())
}

/// Each is told of its own, in the order of the leases, and nobody renews what another holds.
pub async fn only_its_own_token_renews_a_lease(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let mut brief = lookup("k", Wish::IfStale, &["t"]);
    brief.lease = SHORT;
    let lease = ours(&shared.lookup(&brief).await?);
    let other = leased(shared, "other", &["t"]).await?;
    let stranger = Lease {
        token: Token(lease.token.0 ^ 1),
        ..lease
    };
    let leases = [
        held("k", stranger),
        held("none", lease),
        held("other", other),
    ];
    assert_eq!(shared.renew(&leases, LONG).await?, [false, false, true]);
    harness.pass(SHORT * 2).await;
    leased(shared, "k", &["t"]).await?;
    assert!(shared.renew(&[], LONG).await?.is_empty());
    Ok(())
}

/// A load that failed does not keep the next one waiting.
pub async fn a_released_lease_is_free_at_once(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let first = leased(shared, "k", &["t"]).await?;
    shared.release("k", first.token).await?;
    let second = leased(shared, "k", &["t"]).await?;
    let late = shared.fill(fill_of("k", first, "late", &["t"])).await?;
    assert_eq!(late, Filled::LeaseLost);
    let fill = fill_of("k", second, "text", &["t"]);
    assert_eq!(shared.fill(fill).await?, Filled::Stored);
    Ok(())
}

/// The release of a lease that was taken over ends nothing.
pub async fn only_its_own_token_releases_a_lease(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let lease = leased(shared, "k", &["t"]).await?;
    shared.release("k", Token(lease.token.0 ^ 1)).await?;
    let fill = fill_of("k", lease, "text", &["t"]);
    assert_eq!(shared.fill(fill).await?, Filled::Stored);
    Ok(())
}

/// Nobody is sent to load what is good.
pub async fn a_fresh_entry_needs_no_lease(harness: impl Harness) -> Result {
    let shared = harness.shared();
    given(shared, "k", "text", &["t"]).await?;
    let found = shared.lookup(&lookup("k", Wish::IfStale, &["t"])).await?;
    assert!(found.entry.is_some());
    assert_eq!(found.lease, Granted::NotNeeded);
    Ok(())
}

/// One that is about to expire can be loaded ahead, by one at a time, and stays until it is replaced.
pub async fn a_fresh_entry_can_be_leased_always(harness: impl Harness) -> Result {
    let shared = harness.shared();
    given(shared, "k", "old", &["t"]).await?;
    let ahead = lookup("k", Wish::Always, &["t"]);
    let found = shared.lookup(&ahead).await?;
    assert!(found.entry.is_some());
    let lease = ours(&found);
    let found = shared.lookup(&ahead).await?;
    assert!(found.entry.is_some());
    assert!(matches!(found.lease, Granted::Held(_)));
    let fill = fill_of("k", lease, "new", &["t"]);
    assert_eq!(shared.fill(fill).await?, Filled::Stored);
    assert_eq!(text(shared, "k").await?.as_deref(), Some("new"));
    Ok(())
}

/// What is stale can be served while one loads.
pub async fn a_stale_entry_is_found_with_a_lease(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let lease = leased(shared, "k", &["t"]).await?;
    let mut fill = fill_of("k", lease, "stale", &["t"]);
    fill.entry.meta.fresh_ms = 1;
    assert_eq!(shared.fill(fill).await?, Filled::Stored);
    harness.pass(Duration::from_millis(5)).await;
    let found = shared.lookup(&lookup("k", Wish::IfStale, &["t"])).await?;
    assert!(found.entry.is_some());
    ours(&found);
    let found = shared.lookup(&lookup("k", Wish::IfStale, &["t"])).await?;
    assert!(found.entry.is_some());
    assert!(matches!(found.lease, Granted::Held(_)));
    Ok(())
}

/// The time that the load took is part of the age, and no fill makes what was loaded younger.
pub async fn an_entry_ages_from_the_lease_on(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let lease = leased(shared, "k", &["t"]).await?;
    let step = Duration::from_millis(20);
    harness.pass(step).await;
    let fill = fill_of("k", lease, "text", &["t"]);
    assert_eq!(shared.fill(fill).await?, Filled::Stored);
    // Times are whole milliseconds, so each end may be cut by one.
    let cut = Duration::from_millis(1);
    let at_first = seen(shared, "k").await?.expect("it was filled").age;
    assert!(at_first + cut >= step, "{at_first:?}");
    harness.pass(step).await;
    let later = seen(shared, "k").await?.expect("it is kept").age;
    assert!(later + cut >= at_first + step, "{later:?}");
    Ok(())
}

/// The tier's own limit.
pub async fn an_entry_is_kept_no_longer_than_asked(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let lease = leased(shared, "k", &["t"]).await?;
    let mut fill = fill_of("k", lease, "text", &["t"]);
    fill.keep = SHORT;
    assert_eq!(shared.fill(fill).await?, Filled::Stored);
    harness.pass(SHORT * 2).await;
    assert_eq!(seen(shared, "k").await?, None);
    Ok(())
}

/// Each by itself, whatever becomes of the others.
pub async fn many_are_found_in_the_order_of_their_keys(harness: impl Harness) -> Result {
    let shared = harness.shared();
    given(shared, "a", "A", &["t"]).await?;
    given(shared, "b", "B", &["u"]).await?;
    leased(shared, "held", &["t"]).await?;
    let mut lookups = vec![
        lookup("b", Wish::IfStale, &["u"]),
        lookup("none", Wish::Never, &[]),
        lookup("held", Wish::IfStale, &["t"]),
        lookup("free", Wish::IfStale, &["t", "v", "w"]),
        lookup("a", Wish::Always, &["t"]),
    ];
    // More than any implementation does at once.
    lookups.extend((0..300).map(|n| lookup(&format!("more:{n}"), Wish::IfStale, &["t"])));
    let found = shared.lookup_many(&lookups).await?;
    assert_eq!(found.len(), lookups.len());
    let payload = |n: usize| found[n].entry.as_ref().map(|entry| entry.payload.to_vec());
    assert_eq!(payload(0), Some(b"B".to_vec()));
    assert_eq!(found[0].lease, Granted::NotNeeded);
    assert_eq!((payload(1), found[1].lease), (None, Granted::NotNeeded));
    assert!(matches!(found[2].lease, Granted::Held(_)));
    assert_eq!(payload(4), Some(b"A".to_vec()));
    ours(&found[4]);
    for (found, lookup) in found
        .iter()
        .zip(&lookups)
        .skip(5)
        .chain([(&found[3], &lookups[3])])
    {
        let fill = fill_of(&lookup.key, ours(found), "text", &["t"]);
        assert_eq!(shared.fill(fill).await?, Filled::Stored, "{}", lookup.key);
    }
    Ok(())
}

/// Not an error.
pub async fn no_lookups_find_nothing(harness: impl Harness) -> Result {
    assert_eq!(harness.shared().lookup_many(&[]).await?, []);
    Ok(())
}

/// Keys and tags are text, with nothing in it that means anything.
pub async fn names_may_be_any_text(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let odd = [
        "", " ", "a b", "a\nb\r\n", "*", "[x]?", "\\", "ü🎬", "{a}:1", "\u{0}", "%s",
    ];
    for (n, name) in odd.iter().enumerate() {
        let content = format!("{n}");
        given(shared, name, &content, &[name, "t"]).await?;
    }
    for (n, name) in odd.iter().enumerate() {
        let found = seen(shared, name).await?.expect("it was filled");
        assert_eq!(found.payload, format!("{n}"));
        assert_eq!(found.tags, super::given::names(&[name, "t"]));
    }
    Ok(())
}
