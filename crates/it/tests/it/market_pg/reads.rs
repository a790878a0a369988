//! Lists, figures, and that what is read is what was answered.

use super::Site;
use anyhow::{Context as _, Result};
use pitchey_model::decide::Expected;
use pitchey_model::lifecycle::{InterestAction, NdaAction, PitchAction};
use pitchey_model::{Page, Position, Role, Side, Visibility};
use pitchey_runtime::Clock as _;
use pitchey_store::market::{CreatorFigures, InvestorFigures};
use pitchey_store::{Market as _, StoreError};

/// All of a list, in pages of `limit`.
async fn all<T>(
    limit: u32,
    page: impl AsyncFn(Option<Position>, u32) -> Result<Page<T>, StoreError>,
) -> Result<Vec<T>> {
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let page = page(after, limit).await?;
        assert!(page.items.len() <= limit as usize);
        assert!(page.next.is_none() || page.items.len() == limit as usize);
        items.extend(page.items);
        assert!(items.len() <= 100, "pages go on for ever");
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(items),
        }
    }
}

#[tokio::test]
async fn pages_of_every_list_neither_repeat_nor_skip() -> Result<()> {
    let site = Site::new().await?;
    let ann = site.creator().await?;
    let store = &site.store;
    let mut pitches = Vec::new();
    for _ in 0..7 {
        pitches.push(site.published(&ann, Visibility::Nda).await?);
    }
    let mut askers = Vec::new();
    for n in 0..7 {
        let asker = site.person(&format!("ivy{n}"), Role::Investor).await?;
        for pitch in &pitches {
            site.request(&asker, pitch).await??;
            site.express(&asker, pitch).await??;
            store
                .save_pitch(&asker, pitch.id, site.clock.wall())
                .await??;
        }
        askers.push(asker);
    }
    let ivy = &askers[0];
    for other in &askers[1..] {
        store.follow(ivy, other.id, site.clock.wall()).await??;
    }
    store.follow(ivy, ann.id, site.clock.wall()).await??;
    // Three moments for everything: most are tied, and the id decides.
    site.run(
        "UPDATE ndas SET created_at = date_trunc('day', created_at) + get_byte(uuid_send(id), 15) % 3 * interval '1 s';
         UPDATE investment_interests SET created_at = date_trunc('day', created_at) + get_byte(uuid_send(id), 15) % 3 * interval '1 s';
         UPDATE saved_pitches SET created_at = date_trunc('day', created_at) + get_byte(uuid_send(pitch_id), 15) % 3 * interval '1 s';
         UPDATE follows SET created_at = date_trunc('day', created_at) + get_byte(uuid_send(followed_id), 15) % 3 * interval '1 s';
         UPDATE notifications SET created_at = date_trunc('day', created_at) + get_byte(uuid_send(id), 15) % 3 * interval '1 s';
         UPDATE pitches SET updated_at = date_trunc('day', updated_at) + get_byte(uuid_send(id), 15) % 3 * interval '1 s'",
    )
    .await?;

    macro_rules! check {
        ($many:expr, |$after:ident, $limit:ident| $page:expr, |$item:ident| $key:expr) => {{
            let whole = all(100, async |$after, $limit| $page.await).await?;
            assert_eq!(whole.len(), $many);
            let keys: Vec<_> = whole.iter().map(|$item| $key).collect();
            assert!(keys.is_sorted_by(|a, b| a > b), "{keys:?}");
            for limit in [1, 2, 3, 7] {
                let paged = all(limit, async |$after, $limit| $page.await).await?;
                assert_eq!(paged, whole, "by {limit}");
            }
        }};
    }
    let incoming = Side::Incoming;
    let outgoing = Side::Outgoing;
    check!(
        49,
        |after, limit| store.ndas(ann.id, incoming, after, limit),
        |nda| (nda.created_at, nda.id)
    );
    check!(
        7,
        |after, limit| store.ndas(ivy.id, outgoing, after, limit),
        |nda| (nda.created_at, nda.id)
    );
    check!(
        0,
        |after, limit| store.ndas(ivy.id, incoming, after, limit),
        |nda| (nda.created_at, nda.id)
    );
    check!(
        49,
        |after, limit| store.interests(ann.id, incoming, after, limit),
        |deal| (deal.created_at, deal.id)
    );
    check!(
        7,
        |after, limit| store.interests(ivy.id, outgoing, after, limit),
        |deal| (deal.created_at, deal.id)
    );
    check!(
        7,
        |after, limit| store.own_pitches(ann.id, after, limit),
        |pitch| (pitch.updated_at, pitch.id)
    );
    check!(
        7,
        |after, limit| store.saved(ivy.id, after, limit),
        |saved| (saved.saved_at, saved.card.id)
    );
    check!(
        7,
        |after, limit| store.following(ivy.id, after, limit),
        |one| (one.followed_at, one.person.id)
    );
    // 49 requests, 49 interests, one follower.
    check!(
        99,
        |after, limit| store.notifications(ann.id, after, limit),
        |told| (told.created_at, told.id)
    );
    Ok(())
}

#[tokio::test]
async fn what_is_stored_is_what_was_answered() -> Result<()> {
    let site = Site::new().await?;
    let (ann, ivy) = (site.creator().await?, site.investor().await?);
    let store = &site.store;
    let pitch = site.published(&ann, Visibility::Nda).await?;
    let stored = store.full_pitch(pitch.id, None).await?;
    let stored = stored.context("it is there")?;
    assert_eq!((stored.pitch, stored.nda), (pitch.clone(), None));

    let nda = site.request(&ivy, &pitch).await??;
    assert_eq!(store.nda(nda.id).await?, Some(nda.clone()));
    let nda = site.decide(&ann, &nda, NdaAction::Approve, false).await?;
    assert_eq!(store.nda(nda.id).await?, Some(nda.clone()));
    let held = store.full_pitch(pitch.id, Some(ivy.id)).await?;
    assert_eq!(held.and_then(|full| full.nda), Some(nda.clone()));
    site.decide(&ann, &nda, NdaAction::Revoke, false).await?;
    let held = store.full_pitch(pitch.id, Some(ivy.id)).await?;
    assert_eq!(held.map(|full| full.nda), Some(None));

    let interest = site.express(&ivy, &pitch).await??;
    assert_eq!(store.interest(interest.id).await?, Some(interest.clone()));
    let (any, now) = (Expected::Any, site.clock.wall());
    let withdraw = InterestAction::Withdraw;
    let interest = store
        .step_interest(&ivy, interest.id, &any, withdraw, &site.origin, now)
        .await??;
    assert_eq!(store.interest(interest.id).await?, Some(interest));
    Ok(())
}

#[tokio::test]
async fn notifications_are_counted_up_to_a_hundred_and_all_marked_as_read() -> Result<()> {
    let site = Site::new().await?;
    let (ann, ivy) = (site.creator().await?, site.investor().await?);
    let store = &site.store;
    store.follow(&ivy, ann.id, site.clock.wall()).await??;
    store.follow(&ann, ivy.id, site.clock.wall()).await??;
    let told = store.notifications(ann.id, None, 10).await?.items;
    assert_eq!(told.len(), 1);
    let ids = [told[0].id, site.id().0.into()];
    let now = site.clock.wall();
    assert_eq!(store.read_notifications(ivy.id, Some(&ids), now).await?, 0);
    assert_eq!(store.unread_notifications(ann.id).await?, 1);
    assert_eq!(store.read_notifications(ann.id, Some(&ids), now).await?, 1);
    assert_eq!(store.read_notifications(ann.id, Some(&ids), now).await?, 0);
    assert_eq!(store.unread_notifications(ann.id).await?, 0);

    site.run(&format!(
        "INSERT INTO notifications (id, user_id, kind)
         SELECT gen_random_uuid(), '{}', 'followed' FROM generate_series(1, 2500)",
        ann.id
    ))
    .await?;
    assert_eq!(store.unread_notifications(ann.id).await?, 100);
    assert_eq!(store.read_notifications(ann.id, None, now).await?, 2500);
    assert_eq!(store.unread_notifications(ann.id).await?, 0);
    assert_eq!(store.unread_notifications(ivy.id).await?, 1, "another's");
    Ok(())
}

#[tokio::test]
async fn the_figures_of_the_dashboards_are_right() -> Result<()> {
    let site = Site::new().await?;
    let (ann, ivy) = (site.creator().await?, site.investor().await?);
    let eve = site.person("eve", Role::Production).await?;
    let store = &site.store;
    site.draft(&ann, Visibility::Nda).await?;
    let archived = site.published(&ann, Visibility::Nda).await?;
    let lapsed = site.request(&ivy, &archived).await??;
    site.decide(&ann, &lapsed, NdaAction::Approve, true).await?;
    site.step(&ann, &archived, PitchAction::Archive).await?;
    let pitch = site.published(&ann, Visibility::Nda).await?;
    let approved = site.request(&ivy, &pitch).await??;
    site.decide(&ann, &approved, NdaAction::Approve, false)
        .await?;
    site.request(&eve, &pitch).await??;
    let accepted = site.express(&ivy, &pitch).await??;
    let (any, now) = (Expected::Any, site.clock.wall());
    let accept = InterestAction::Accept;
    store
        .step_interest(&ann, accepted.id, &any, accept, &site.origin, now)
        .await??;
    site.express(&eve, &pitch).await??;
    store.save_pitch(&ivy, pitch.id, now).await??;
    store.follow(&ivy, ann.id, now).await??;
    site.run(&format!(
        "INSERT INTO pitch_views (pitch_id, day, viewer_key, viewed_at)
         SELECT '{}', current_date - n, decode(md5(n::text), 'hex'), now() - n * interval '1 day'
         FROM unnest(ARRAY[0, 1, 30]) AS n;
         REFRESH MATERIALIZED VIEW mv_pitch_stats",
        pitch.id
    ))
    .await?;

    let creator = CreatorFigures {
        drafts: 1,
        published: 1,
        archived: 1,
        followers: 1,
        ndas_waiting: 1,
        interests_waiting: 1,
        views: 3,
        views_7d: 2,
        saves: 1,
        ndas_requested: 3,
        ndas_approved: 2,
        interests: 2,
    };
    assert_eq!(store.creator_figures(ann.id).await?, creator);
    let nobody = CreatorFigures::default();
    assert_eq!(store.creator_figures(ivy.id).await?, nobody);
    let investor = InvestorFigures {
        saved: 1,
        following: 1,
        ndas_waiting: 0,
        ndas_approved: 1,
        interests_waiting: 0,
        interests_accepted: 1,
    };
    assert_eq!(store.investor_figures(ivy.id, now).await?, investor);
    Ok(())
}
