//! Invalidations, their numbers, and the epoch of these.

use super::super::{Filled, Granted, Shared, SharedError, Strength, Wish};
use super::given::{fill_of, given, leased, load, lookup, names, ours, seen, text};
use super::{Harness, Result};
use crate::stamp::{AsOf, Position};

async fn raise(
    shared: &impl Shared,
    tag: &str,
    strength: Strength,
) -> std::result::Result<AsOf, SharedError> {
    let position = Position::default();
    shared.invalidate(&names(&[tag]), strength, position).await
}

/// The promise.
pub async fn a_raised_entry_is_not_found(harness: impl Harness) -> Result {
    let shared = harness.shared();
    given(shared, "k", "old", &["t"]).await?;
    raise(shared, "t", Strength::Hard).await?;
    let found = shared.lookup(&lookup("k", Wish::IfStale, &["t"])).await?;
    assert_eq!(found.entry, None);
    let fill = fill_of("k", ours(&found), "new", &["t"]);
    assert_eq!(shared.fill(fill).await?, Filled::Stored);
    assert_eq!(text(shared, "k").await?.as_deref(), Some("new"));
    Ok(())
}

/// Whichever of its tags it is.
pub async fn any_raised_tag_is_enough(harness: impl Harness) -> Result {
    let shared = harness.shared();
    for tag in ["t", "u", "v"] {
        given(shared, "k", "old", &["t", "u", "v"]).await?;
        raise(shared, tag, Strength::Hard).await?;
        assert_eq!(seen(shared, "k").await?, None, "{tag} was raised");
    }
    Ok(())
}

/// An invalidation costs nothing but what carries its tag.
pub async fn other_tags_stay(harness: impl Harness) -> Result {
    let shared = harness.shared();
    given(shared, "k", "text", &["t"]).await?;
    given(shared, "without tags", "text", &[]).await?;
    raise(shared, "u", Strength::Hard).await?;
    raise(shared, "tt", Strength::Hard).await?;
    raise(shared, "", Strength::Hard).await?;
    assert!(seen(shared, "k").await?.is_some());
    assert!(seen(shared, "without tags").await?.is_some());
    Ok(())
}

/// It may be served, and is to be refreshed by one.
pub async fn a_softened_entry_is_found_and_may_be_loaded(harness: impl Harness) -> Result {
    let shared = harness.shared();
    given(shared, "k", "text", &["t", "u"]).await?;
    assert!(!seen(shared, "k").await?.expect("it was filled").softened);
    raise(shared, "u", Strength::Soft).await?;
    assert!(seen(shared, "k").await?.expect("it is kept").softened);
    let found = shared
        .lookup(&lookup("k", Wish::IfStale, &["t", "u"]))
        .await?;
    assert!(found.entry.is_some_and(|entry| entry.softened));
    assert!(matches!(found.lease, Granted::Ours(_)));
    Ok(())
}

/// What is loaded after the soft invalidation has seen it.
pub async fn a_refreshed_entry_is_not_softened(harness: impl Harness) -> Result {
    let shared = harness.shared();
    given(shared, "k", "old", &["t"]).await?;
    raise(shared, "t", Strength::Soft).await?;
    given(shared, "k", "new", &["t"]).await?;
    let found = seen(shared, "k").await?.expect("it was filled");
    assert_eq!((&*found.payload, found.softened), (&b"new"[..], false));
    Ok(())
}

/// In either order, and a soft one does not undo a hard one.
pub async fn a_hard_raise_after_a_soft_one_holds(harness: impl Harness) -> Result {
    let shared = harness.shared();
    for (first, second) in [
        (Strength::Soft, Strength::Hard),
        (Strength::Hard, Strength::Soft),
    ] {
        given(shared, "k", "old", &["t"]).await?;
        raise(shared, "t", first).await?;
        raise(shared, "t", second).await?;
        assert_eq!(seen(shared, "k").await?, None);
    }
    Ok(())
}

/// Nobody can say that it was not raised.
pub async fn a_forgotten_tag_invalidates(harness: impl Harness) -> Result {
    let shared = harness.shared();
    given(shared, "k", "old", &["t", "u"]).await?;
    harness.forget_tag("u").await;
    assert_eq!(seen(shared, "k").await?, None);
    given(shared, "k", "new", &["t", "u"]).await?;
    assert_eq!(text(shared, "k").await?.as_deref(), Some("new"));
    Ok(())
}

/// A tag that was raised, forgotten, and made known again by another load still counts as raised.
pub async fn a_known_tag_is_no_reason_to_believe_an_older_entry(harness: impl Harness) -> Result {
    let shared = harness.shared();
    given(shared, "k", "old", &["t"]).await?;
    raise(shared, "t", Strength::Hard).await?;
    harness.forget_tag("t").await;
    given(shared, "other", "text", &["t"]).await?;
    assert_eq!(seen(shared, "k").await?, None);
    Ok(())
}

/// Removal is by key, whatever the tags.
pub async fn removed_keys_are_gone(harness: impl Harness) -> Result {
    let shared = harness.shared();
    for key in ["a", "b", "c"] {
        given(shared, key, "text", &["t"]).await?;
    }
    shared
        .remove(&names(&["a", "c", "never there"]), Position::default())
        .await?;
    assert_eq!(seen(shared, "a").await?, None);
    assert!(seen(shared, "b").await?.is_some());
    assert_eq!(seen(shared, "c").await?, None);
    Ok(())
}

/// A prefix is text and not a pattern.
pub async fn a_prefix_is_removed_and_nothing_else(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let removed = ["p[*]:1", "p[*]:2", "p[*]:"];
    let kept = ["p*:1", "pa:1", "p[*]", "x:p[*]:1"];
    for key in removed.iter().chain(&kept) {
        given(shared, key, "text", &["t"]).await?;
    }
    assert_eq!(shared.remove_prefix("p[*]:", Position::default()).await?, 3);
    for key in removed {
        assert_eq!(seen(shared, key).await?, None, "{key} begins so");
    }
    for key in kept {
        assert!(seen(shared, key).await?.is_some(), "{key} does not");
    }
    // A walk over many.
    for n in 0..300 {
        given(shared, &format!("many:{n}"), "text", &["t"]).await?;
    }
    assert_eq!(
        shared.remove_prefix("many:", Position::default()).await?,
        300
    );
    assert_eq!(shared.remove_prefix("many:", Position::default()).await?, 0);
    Ok(())
}

/// Each invalidation and removal has the number after the one before, whether it meets anything or not;
/// lookups and fills have none.
pub async fn numbers_have_no_gaps(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let first = raise(shared, "t", Strength::Hard).await?;
    given(shared, "k", "text", &["t"]).await?;
    let soft = raise(shared, "t", Strength::Soft).await?;
    let removal = shared
        .remove(&names(&["k", "never there"]), Position::default())
        .await?;
    shared
        .remove_prefix("nothing begins so", Position::default())
        .await?;
    let position = Position::default();
    let two = shared
        .invalidate(&names(&["t", "u"]), Strength::Hard, position)
        .await?;
    let numbers = [first, soft, removal, two].map(|as_of| as_of.seq.0 - first.seq.0);
    assert_eq!(numbers, [0, 1, 2, 4]);
    assert!(
        [soft, removal, two]
            .iter()
            .all(|as_of| as_of.epoch == first.epoch)
    );
    Ok(())
}

/// Positions only grow, whatever order they come in.
pub async fn a_lease_knows_the_newest_number_and_position(harness: impl Harness) -> Result {
    let shared = harness.shared();
    let lease = leased(shared, "before", &["t"]).await?;
    assert_eq!(lease.position, Position(0));
    // The largest has more digits than a double holds, and differs from the next in the last.
    let positions = [9, 10, u64::MAX - 1, u64::MAX, 7];
    let mut newest = 0;
    for position in positions {
        newest = newest.max(position);
        let as_of = shared
            .invalidate(&names(&["t"]), Strength::Soft, Position(position))
            .await?;
        let lease = leased(shared, &format!("after {position}"), &["t"]).await?;
        assert_eq!((lease.as_of, lease.position), (as_of, Position(newest)));
    }
    Ok(())
}

/// Neither what was filled nor what is being loaded survives.
pub async fn a_lost_tier_begins_another_epoch(mut harness: impl Harness) -> Result {
    let before = raise(harness.shared(), "t", Strength::Hard).await?;
    given(harness.shared(), "k", "old", &["t"]).await?;
    let lease = leased(harness.shared(), "loading", &["t"]).await?;
    harness.lose_all().await;
    let shared = harness.shared();
    let fill = fill_of("loading", lease, "old", &["t"]);
    assert_eq!(shared.fill(fill).await?, Filled::OtherEpoch);
    assert_eq!(seen(shared, "k").await?, None);
    assert_eq!(seen(shared, "loading").await?, None);
    let after = raise(shared, "t", Strength::Hard).await?;
    assert_ne!(before.epoch, after.epoch);
    Ok(())
}

/// Although everything is there: an invalidation may be missing.
pub async fn a_tier_that_was_set_back_begins_another_epoch(mut harness: impl Harness) -> Result {
    let before = raise(harness.shared(), "t", Strength::Hard).await?;
    given(harness.shared(), "k", "old", &["t"]).await?;
    let lease = leased(harness.shared(), "loading", &["t"]).await?;
    harness.set_back().await;
    let shared = harness.shared();
    assert_eq!(seen(shared, "k").await?, None);
    let fill = fill_of("loading", lease, "old", &["t"]);
    assert_eq!(shared.fill(fill).await?, Filled::OtherEpoch);
    let after = raise(shared, "t", Strength::Hard).await?;
    assert_ne!(before.epoch, after.epoch);
    Ok(())
}

/// Numbers of tags that survived from an epoch with greater ones are in nobody's way.
pub async fn loads_go_on_in_another_epoch(mut harness: impl Harness) -> Result {
    for _ in 0..20 {
        raise(harness.shared(), "u", Strength::Hard).await?;
    }
    given(harness.shared(), "k", "old", &["t", "u"]).await?;
    raise(harness.shared(), "t", Strength::Soft).await?;
    harness.set_back().await;
    let shared = harness.shared();
    assert_eq!(load(shared, "k", "new", &["t", "u"]).await?, Filled::Stored);
    let found = seen(shared, "k").await?.expect("it was filled");
    assert_eq!((&*found.payload, found.softened), (&b"new"[..], false));
    for tag in ["t", "u"] {
        raise(shared, tag, Strength::Hard).await?;
        assert_eq!(seen(shared, "k").await?, None);
        given(shared, "k", "newer", &["t", "u"]).await?;
    }
    Ok(())
}
