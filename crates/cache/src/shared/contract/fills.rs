//! Fills, and what they are refused for.

use std::time::Duration;

use super::super::{Filled, Shared as _, Strength, Wish};
use super::given::{fill_of, given, leased, load, lookup, names, ours, seen, text};
use super::{Harness, Result};
use crate::stamp::{Lease, Position, Token};

/// One lease, one fill.
pub async fn a_fill_ends_its_lease(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let lease = leased(shared, "k", &["t"]).await?;
    let fill = fill_of("k", lease, "text", &["t"]);
    assert_eq!(shared.fill(fill).await?, Filled::Stored);
    let again = shared.fill(fill_of("k", lease, "again", &["t"])).await?;
    assert_eq!(again, Filled::LeaseLost);
    assert_eq!(text(shared, "k").await?.as_deref(), Some("text"));
    ours(&shared.lookup(&lookup("k", Wish::Always, &["t"])).await?);
    Ok(())
}

/// Neither while another holds the lease, which stays, nor while nobody does.
pub async fn a_made_up_token_fills_nothing(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let lease = leased(shared, "k", &["t"]).await?;
    let made_up = Lease {
        token: Token(lease.token.0 ^ 1),
        ..lease
    };
    for key in ["k", "nobody's"] {
        let fill = fill_of(key, made_up, "forged", &["t"]);
        assert_eq!(shared.fill(fill).await?, Filled::LeaseLost);
        assert_eq!(seen(shared, key).await?, None);
    }
    let fill = fill_of("k", lease, "text", &["t"]);
    assert_eq!(shared.fill(fill).await?, Filled::Stored);
    Ok(())
}

/// A lease that another has taken over after a removal leaves what that one filled.
pub async fn a_lost_lease_fills_nothing(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let lost = leased(shared, "k", &["t"]).await?;
    shared.remove(&names(&["k"]), Position::default()).await?;
    given(shared, "k", "new", &["t"]).await?;
    let late = shared.fill(fill_of("k", lost, "old", &["t"])).await?;
    assert_eq!(late, Filled::LeaseLost);
    assert_eq!(text(shared, "k").await?.as_deref(), Some("new"));
    Ok(())
}

/// The race of every cache: what was loaded may be older than the invalidation.
pub async fn a_fill_after_a_raise_is_refused(harness: impl Harness) -> Result {
    let shared = harness.shared();
    for raised in ["t", "u"] {
        let lease = leased(shared, "k", &["t", "u"]).await?;
        let position = Position::default();
        shared
            .invalidate(&names(&[raised]), Strength::Hard, position)
            .await?;
        let fill = fill_of("k", lease, "old", &["t", "u"]);
        assert_eq!(shared.fill(fill).await?, Filled::Raised);
        assert_eq!(seen(shared, "k").await?, None);
    }
    Ok(())
}

/// Whoever loads anew need not wait for the lease of the load that came too late.
pub async fn a_refused_fill_frees_the_key(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let lease = leased(shared, "k", &["t"]).await?;
    let position = Position::default();
    shared
        .invalidate(&names(&["t"]), Strength::Hard, position)
        .await?;
    let fill = fill_of("k", lease, "old", &["t"]);
    assert_eq!(shared.fill(fill).await?, Filled::Raised);
    given(shared, "k", "new", &["t"]).await?;
    assert_eq!(text(shared, "k").await?.as_deref(), Some("new"));
    Ok(())
}

/// A tag need not be known before the load.
pub async fn a_tag_found_by_the_load_counts(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let lease = leased(shared, "k", &["t"]).await?;
    let fill = fill_of("k", lease, "text", &["t", "found"]);
    assert_eq!(shared.fill(fill).await?, Filled::Stored);
    let position = Position::default();
    shared
        .invalidate(&names(&["found"]), Strength::Hard, position)
        .await?;
    assert_eq!(seen(shared, "k").await?, None);
    Ok(())
}

/// If it was invalidated during the load that found it, that is not forgotten because nobody knew it.
pub async fn a_tag_found_by_the_load_was_raised_meanwhile(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let lease = leased(shared, "k", &["t"]).await?;
    let position = Position::default();
    shared
        .invalidate(&names(&["found"]), Strength::Hard, position)
        .await?;
    let fill = fill_of("k", lease, "old", &["t", "found"]);
    assert_eq!(shared.fill(fill).await?, Filled::Raised);
    // The next load succeeds, although it does not know the tag before either.
    let lease = leased(shared, "k", &["t"]).await?;
    let fill = fill_of("k", lease, "new", &["t", "found"]);
    assert_eq!(shared.fill(fill).await?, Filled::Stored);
    Ok(())
}

/// Its numbers may have been raised before they were forgotten.
pub async fn a_fill_whose_tag_was_forgotten_meanwhile(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let lease = leased(shared, "k", &["t"]).await?;
    let position = Position::default();
    shared
        .invalidate(&names(&["t"]), Strength::Hard, position)
        .await?;
    harness.forget_tag("t").await;
    let fill = fill_of("k", lease, "old", &["t"]);
    assert_eq!(shared.fill(fill).await?, Filled::Raised);
    assert_eq!(load(shared, "k", "new", &["t"]).await?, Filled::Stored);
    Ok(())
}

/// What was loaded is stored, and to be refreshed.
pub async fn a_soft_raise_refuses_no_fill(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let lease = leased(shared, "k", &["t"]).await?;
    let position = Position::default();
    shared
        .invalidate(&names(&["t"]), Strength::Soft, position)
        .await?;
    let fill = fill_of("k", lease, "text", &["t"]);
    assert_eq!(shared.fill(fill).await?, Filled::Stored);
    let found = shared.lookup(&lookup("k", Wish::IfStale, &["t"])).await?;
    assert!(found.entry.as_ref().is_some_and(|entry| entry.softened));
    ours(&found);
    Ok(())
}

/// With its tags: those of the earlier one mean nothing any more.
pub async fn a_later_fill_replaces_an_earlier_one(harness: impl Harness) -> Result {
    let shared = harness.shared();
    given(shared, "k", "earlier", &["t", "u"]).await?;
    let ahead = lookup("k", Wish::Always, &["t"]);
    let lease = ours(&shared.lookup(&ahead).await?);
    let fill = fill_of("k", lease, "later", &["t"]);
    assert_eq!(shared.fill(fill).await?, Filled::Stored);
    let position = Position::default();
    shared
        .invalidate(&names(&["u"]), Strength::Hard, position)
        .await?;
    let found = seen(shared, "k").await?.expect("it has no such tag");
    assert_eq!(
        (&*found.payload, found.tags),
        (&b"later"[..], names(&["t"]))
    );
    Ok(())
}

/// A removal during a load.
pub async fn a_removed_key_is_not_filled(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let removed = leased(shared, "k", &["t"]).await?;
    let other = leased(shared, "other", &["t"]).await?;
    shared
        .remove(&names(&["k", "never there"]), Position::default())
        .await?;
    let fill = fill_of("k", removed, "old", &["t"]);
    assert_eq!(shared.fill(fill).await?, Filled::LeaseLost);
    assert_eq!(seen(shared, "k").await?, None);
    let fill = fill_of("other", other, "text", &["t"]);
    assert_eq!(shared.fill(fill).await?, Filled::Stored);
    Ok(())
}

/// The removal of a prefix during loads.
pub async fn a_removed_prefix_is_not_filled(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let removed = leased(shared, "p:1", &["t"]).await?;
    let other = leased(shared, "q:1", &["t"]).await?;
    assert_eq!(shared.remove_prefix("p:", Position::default()).await?, 0);
    let fill = fill_of("p:1", removed, "old", &["t"]);
    assert_eq!(shared.fill(fill).await?, Filled::LeaseLost);
    let fill = fill_of("q:1", other, "text", &["t"]);
    assert_eq!(shared.fill(fill).await?, Filled::Stored);
    Ok(())
}

/// Each by itself, whatever becomes of the others.
pub async fn many_are_filled_in_the_order_of_the_fills(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let raised = leased(shared, "raised", &["u"]).await?;
    let good = leased(shared, "good", &["t"]).await?;
    let lost = leased(shared, "lost", &["t"]).await?;
    let position = Position::default();
    shared
        .invalidate(&names(&["u"]), Strength::Hard, position)
        .await?;
    shared
        .remove(&names(&["lost"]), Position::default())
        .await?;
    let mut fills = vec![
        fill_of("lost", lost, "old", &["t"]),
        fill_of("good", good, "text", &["t"]),
        fill_of("raised", raised, "old", &["u"]),
    ];
    let mut expected = vec![Filled::LeaseLost, Filled::Stored, Filled::Raised];
    // More than any implementation does at once.
    for n in 0..300 {
        let key = format!("more:{n}");
        fills.push(fill_of(
            &key,
            leased(shared, &key, &["t"]).await?,
            "text",
            &["t"],
        ));
        expected.push(Filled::Stored);
    }
    assert_eq!(shared.fill_many(fills).await?, expected);
    assert_eq!(text(shared, "good").await?.as_deref(), Some("text"));
    assert_eq!(text(shared, "more:299").await?.as_deref(), Some("text"));
    Ok(())
}

/// Not an error.
pub async fn no_fills_fill_nothing(harness: impl Harness) -> Result {
    assert_eq!(harness.shared().fill_many(Vec::new()).await?, []);
    Ok(())
}

/// What comes from another node's cache is no younger here than it is there.
pub async fn a_fill_may_be_older_than_its_lease(harness: impl Harness) -> Result {
    let shared = harness.shared();
    given(shared, "other", "text", &["t"]).await?;
    let old = leased(shared, "k", &["t"]).await?;
    let position = Position::default();
    shared.release("k", old.token).await?;
    shared
        .invalidate(&names(&["u"]), Strength::Hard, position)
        .await?;
    let lease = leased(shared, "k", &["t"]).await?;
    let mut fill = fill_of("k", lease, "text", &["t"]);
    fill.entry.as_of = old.as_of;
    fill.entry.age = Duration::from_secs(100);
    assert_eq!(shared.fill(fill).await?, Filled::Stored);
    let stored = seen(shared, "k").await?;
    let stored = stored.map(|stored| (stored.as_of, stored.age >= Duration::from_secs(100)));
    assert_eq!(stored, Some((old.as_of, true)));
    Ok(())
}

/// The lease has seen the invalidation, and what another node's cache gave has not.
pub async fn a_fill_that_has_seen_less_than_its_lease_is_refused(harness: impl Harness) -> Result {
    let shared = harness.shared();
    for raised in ["t", "u"] {
        given(shared, "other", "text", &["t", "u"]).await?;
        let old = leased(shared, "k", &["t", "u"]).await?;
        let position = Position::default();
        shared.release("k", old.token).await?;
        shared
            .invalidate(&names(&[raised]), Strength::Hard, position)
            .await?;
        let lease = leased(shared, "k", &["t", "u"]).await?;
        let mut fill = fill_of("k", lease, "old", &["t", "u"]);
        fill.entry.as_of = old.as_of;
        assert_eq!(shared.fill(fill).await?, Filled::Raised);
        assert_eq!(seen(shared, "k").await?, None);
    }
    Ok(())
}
