//! Notifications.

use super::given::{at, cast, done, published, requested, stepped};
use super::{Harness, Result, pages};
use crate::{FullStore, Market as _, StoreError};
use pitchey_model::decide::Expected;
use pitchey_model::event::Notice;
use pitchey_model::lifecycle::PitchAction;
use pitchey_model::{Actor, NoticeKind, NotificationId, PitchChange, UserId, Visibility};

async fn publications<S: FullStore>(
    store: &S,
    user: &Actor,
) -> std::result::Result<Vec<Notice>, StoreError> {
    let told = store.notifications(user.id, None, 100).await?.items;
    let of_kind = told
        .into_iter()
        .filter(|told| told.kind == NoticeKind::PitchPublished);
    Ok(of_kind.map(|told| told.notice).collect())
}

/// Once for each pitch that comes onto the site, and to followers only.
pub async fn the_first_publication_is_told_to_followers(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    for follower in [&cast.ida, &cast.bob] {
        done(store.follow(follower, cast.ann.id, at(0)).await?);
    }
    let before = harness.traces().await;
    let pitch = published(store, &cast.ann, 100, Visibility::Nda, at(1)).await?;
    let traces = harness.traces().await.since(&before);
    let events = traces.events.iter().filter(|event| *event == "notified");
    assert_eq!(events.count(), 2, "one for each");
    let expected = Notice {
        username: cast.ann.username.clone(),
        display_name: cast.ann.display_name.clone(),
        pitch_id: Some(pitch.id),
        pitch_title: Some("Film 100".to_owned()),
        nda_id: None,
        interest_id: None,
    };
    for follower in [&cast.ida, &cast.bob] {
        assert_eq!(
            publications(store, follower).await?,
            std::slice::from_ref(&expected)
        );
    }
    assert_eq!(publications(store, &cast.ivo).await?, []);
    assert_eq!(publications(store, &cast.ann).await?, []);

    stepped(store, &cast.ann, pitch.id, PitchAction::Archive, at(2)).await?;
    stepped(store, &cast.ann, pitch.id, PitchAction::Publish, at(3)).await?;
    stepped(store, &cast.ann, pitch.id, PitchAction::Withdraw, at(4)).await?;
    stepped(store, &cast.ann, pitch.id, PitchAction::Publish, at(5)).await?;
    let change = PitchChange {
        title: Some("Again".to_owned()),
        ..PitchChange::default()
    };
    done(
        store
            .edit_pitch(&cast.ann, pitch.id, &Expected::Any, change, at(6))
            .await?,
    );
    published(store, &cast.ann, 101, Visibility::Private, at(7)).await?;
    published(store, &cast.bob, 102, Visibility::Public, at(8)).await?;
    assert_eq!(
        publications(store, &cast.ida).await?.len(),
        1,
        "the first time, if others see it"
    );

    store.unfollow(&cast.ida, cast.ann.id).await?;
    published(store, &cast.ann, 103, Visibility::Public, at(9)).await?;
    assert_eq!(publications(store, &cast.ida).await?.len(), 1);
    assert_eq!(publications(store, &cast.bob).await?.len(), 2);
    Ok(())
}

/// Ann is told five things by Ida, two of them at one time.
async fn five_told<S: FullStore>(
    store: &S,
    cast: &super::given::Cast,
) -> std::result::Result<UserId, StoreError> {
    for (n, minute) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4)] {
        let pitch = published(store, &cast.ann, 100 + n, Visibility::Nda, at(0))
            .await?
            .id;
        requested(store, &cast.ida, n, pitch, at(minute)).await?;
    }
    Ok(cast.ann.id)
}

/// By time, ties broken by the id, page by page, each to whom it was told.
pub async fn notifications_are_listed_newest_first(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let ann = five_told(store, &cast).await?;
    let list = |limit| pages(limit, move |after| store.notifications(ann, after, limit));
    let whole = list(100).await?;
    let times: Vec<_> = whole.iter().map(|told| told.created_at).collect();
    assert_eq!(times, [4, 3, 2, 2, 1].map(at));
    assert!(whole.is_sorted_by(|a, b| (a.created_at, a.id) > (b.created_at, b.id)));
    assert!(whole.iter().all(|told| told.read_at.is_none()));
    for limit in [1, 2, 3, 5] {
        assert_eq!(list(limit).await?, whole, "by {limit}");
    }
    assert_eq!(store.notifications(cast.ida.id, None, 10).await?.items, []);
    Ok(())
}

/// Some, then all; each once, and nobody else's.
pub async fn notifications_are_read(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let ann = five_told(store, &cast).await?;
    assert_eq!(store.unread_notifications(ann).await?, 5);
    assert_eq!(store.unread_notifications(cast.ida.id).await?, 0);
    let told = store.notifications(ann, None, 10).await?.items;
    let two: Vec<NotificationId> = told[1..3].iter().map(|told| told.id).collect();
    let read = store
        .read_notifications(cast.ida.id, Some(&two), at(10))
        .await?;
    assert_eq!(read, 0, "they are not hers");
    assert_eq!(
        store.read_notifications(ann, Some(&[]), at(10)).await?,
        0,
        "none is not all"
    );
    assert_eq!(store.unread_notifications(ann).await?, 5);
    assert_eq!(store.read_notifications(ann, Some(&two), at(11)).await?, 2);
    assert_eq!(
        store
            .read_notifications(ann, Some(&two[..1]), at(12))
            .await?,
        0
    );
    assert_eq!(store.unread_notifications(ann).await?, 3);
    assert_eq!(store.read_notifications(ann, None, at(13)).await?, 3);
    assert_eq!(store.read_notifications(ann, None, at(14)).await?, 0);
    assert_eq!(store.unread_notifications(ann).await?, 0);
    let told = store.notifications(ann, None, 10).await?.items;
    let read: Vec<_> = told.iter().map(|told| told.read_at).collect();
    assert_eq!(read, [13, 11, 11, 13, 13].map(|minute| Some(at(minute))));
    Ok(())
}

/// Beyond that, nobody reads the number.
pub async fn unread_notifications_are_counted_up_to_a_hundred(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    for n in 1..=101 {
        done(store.follow(&cast.ida, cast.ann.id, at(n)).await?);
        store.unfollow(&cast.ida, cast.ann.id).await?;
        assert_eq!(store.unread_notifications(cast.ann.id).await?, n.min(100));
    }
    assert_eq!(
        store.read_notifications(cast.ann.id, None, at(200)).await?,
        101
    );
    Ok(())
}
