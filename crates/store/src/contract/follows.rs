//! Saved pitches and follows.

use super::given::{at, cast, done, drafted, id, person, published, refused, stepped};
use super::{Harness, Result, pages};
use crate::market::{Followed, Saved};
use crate::{Market as _, Pitches as _, Users as _};
use pitchey_model::decide::Refusal;
use pitchey_model::event::Tag;
use pitchey_model::lifecycle::PitchAction;
use pitchey_model::{NoticeKind, PitchId, UserId, Visibility};

/// Saving again keeps the first time; no longer saving works whether it was saved or not.
pub async fn pitches_are_saved_once(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let pitch = published(store, &cast.ann, 100, Visibility::Nda, at(0))
        .await?
        .id;
    let draft = drafted(store, &cast.ann, 101, Visibility::Public, at(0))
        .await?
        .id;
    done(store.save_pitch(&cast.ida, pitch, at(1)).await?);
    done(store.save_pitch(&cast.ida, pitch, at(2)).await?);
    let card = store.detail(pitch).await?.expect("it is on the site").card;
    let saved = store.saved(cast.ida.id, None, 10).await?;
    assert_eq!(
        saved.items,
        [Saved {
            card,
            saved_at: at(1)
        }]
    );
    assert_eq!(saved.next, None);
    assert_eq!(store.saved(cast.ivo.id, None, 10).await?.items, []);
    for hidden in [draft, id(999)] {
        let outcome = store.save_pitch(&cast.ida, hidden, at(3)).await?;
        assert_eq!(refused(outcome), Refusal::NotFound);
    }
    store.unsave_pitch(cast.ivo.id, pitch).await?;
    assert_eq!(store.saved(cast.ida.id, None, 10).await?.items.len(), 1);
    for _ in 0..2 {
        store.unsave_pitch(cast.ida.id, pitch).await?;
        assert_eq!(store.saved(cast.ida.id, None, 10).await?.items, []);
    }
    Ok(())
}

/// What leaves the site is not shown, and is again when it comes back.
pub async fn only_what_is_on_the_site_is_listed_as_saved(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let pitch = published(store, &cast.ann, 100, Visibility::Public, at(0))
        .await?
        .id;
    done(store.save_pitch(&cast.ida, pitch, at(1)).await?);
    stepped(store, &cast.ann, pitch, PitchAction::Archive, at(2)).await?;
    assert_eq!(store.saved(cast.ida.id, None, 10).await?.items, []);
    stepped(store, &cast.ann, pitch, PitchAction::Publish, at(3)).await?;
    let saved = store.saved(cast.ida.id, None, 10).await?.items;
    assert_eq!(
        saved.iter().map(|saved| saved.saved_at).collect::<Vec<_>>(),
        [at(1)]
    );
    Ok(())
}

/// Last saved first, ties broken by the id, page by page.
pub async fn saved_pitches_are_listed_last_saved_first(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    for n in 0..6_u8 {
        let number = 100 + u128::from(n);
        let pitch = published(store, &cast.ann, number, Visibility::Public, at(0))
            .await?
            .id;
        done(
            store
                .save_pitch(&cast.ida, pitch, at(9 - i64::from(n / 2)))
                .await?,
        );
    }
    let list = |limit| pages(limit, move |after| store.saved(cast.ida.id, after, limit));
    let whole = list(100).await?;
    let ids: Vec<PitchId> = whole.iter().map(|saved| saved.card.id).collect();
    assert_eq!(ids, [101, 100, 103, 102, 105, 104].map(id));
    for limit in [1, 2, 4, 6] {
        assert_eq!(list(limit).await?, whole, "by {limit}");
    }
    Ok(())
}

/// Following again changes nothing and tells nobody; no longer following works whether it was so or not.
pub async fn following_twice_tells_once(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let ann = cast.ann.id;
    done(store.follow(&cast.ida, ann, at(1)).await?);
    let traces = harness.traces().await;
    assert_eq!(traces.tags, [Tag::user(ann).as_str()]);
    assert_eq!(traces.events, ["notified"]);
    done(store.follow(&cast.ida, ann, at(2)).await?);
    assert_eq!(harness.traces().await, traces);
    let told = store.notifications(ann, None, 10).await?.items;
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].kind, told[0].created_at),
        (NoticeKind::Followed, at(1))
    );
    assert_eq!(told[0].notice.username, cast.ida.username);
    assert_eq!(told[0].notice.pitch_id, None);
    let followed = store.following(cast.ida.id, None, 10).await?;
    let expected = Followed {
        person: person(&cast.ann),
        followed_at: at(1),
    };
    assert_eq!((followed.items, followed.next), (vec![expected], None));
    let profile = store.profile(&cast.ann.username).await?;
    assert_eq!(profile.map(|profile| profile.follower_count), Some(1));

    store.unfollow(&cast.ivo, ann).await?;
    assert_eq!(harness.traces().await, traces, "he did not follow her");
    store.unfollow(&cast.ida, ann).await?;
    assert!(
        harness
            .traces()
            .await
            .since(&traces)
            .has_tag(&Tag::user(ann))
    );
    store.unfollow(&cast.ida, ann).await?;
    assert_eq!(store.following(cast.ida.id, None, 10).await?.items, []);
    let profile = store.profile(&cast.ann.username).await?;
    assert_eq!(profile.map(|profile| profile.follower_count), Some(0));
    Ok(())
}

/// Not oneself, and not nobody.
pub async fn only_others_who_are_there_are_followed(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let outcome = store.follow(&cast.ann, cast.ann.id, at(1)).await?;
    assert_eq!(refused(outcome), Refusal::Forbidden);
    let outcome = store.follow(&cast.ann, id(999), at(1)).await?;
    assert_eq!(refused(outcome), Refusal::NotFound);
    assert_eq!(store.following(cast.ann.id, None, 10).await?.items, []);
    assert_eq!(harness.traces().await, super::Traces::default());
    Ok(())
}

/// Last followed first, ties broken by the id, page by page.
pub async fn followed_people_are_listed_last_followed_first(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let others = [&cast.ann, &cast.bob, &cast.ivo, &cast.pia, &cast.root];
    for (minute, other) in [1, 2, 2, 3, 0].into_iter().zip(others) {
        done(store.follow(&cast.ida, other.id, at(minute)).await?);
    }
    let list = |limit| {
        pages(limit, move |after| {
            store.following(cast.ida.id, after, limit)
        })
    };
    let whole = list(100).await?;
    let ids: Vec<UserId> = whole.iter().map(|followed| followed.person.id).collect();
    assert_eq!(ids, [5, 4, 2, 1, 6].map(id));
    for limit in [1, 2, 3, 5] {
        assert_eq!(list(limit).await?, whole, "by {limit}");
    }
    Ok(())
}
