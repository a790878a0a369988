//! What a write leaves beside its own rows, and a refused one does not.

use super::{Site, answer, content};
use anyhow::{Context as _, Result, bail};
use pitchey_model::decide::{Conflict, Expected, NdaStep, Refusal};
use pitchey_model::lifecycle::{InterestAction, NdaAction, PitchAction};
use pitchey_model::{PitchChange, Visibility};
use pitchey_runtime::Clock as _;
use pitchey_store::Market as _;
use pitchey_store::market::{Once, Outcome};
use std::time::Duration;

const LISTED: [&str; 7] = [
    "tag creator:…",
    "tag genre:crime",
    "tag genre:noir",
    "tag lists",
    "tag pitch:…",
    "tag search",
    "tag user:…",
];

fn refusal<T>(outcome: Outcome<T>) -> Result<Refusal> {
    match outcome? {
        Ok(_) => bail!("it was done"),
        Err(refusal) => Ok(refusal),
    }
}

#[tokio::test]
async fn a_refused_write_to_a_pitch_leaves_nothing() -> Result<()> {
    let site = Site::new().await?;
    let (ann, ivy) = (site.creator().await?, site.investor().await?);
    let pitch = site.published(&ann, Visibility::Nda).await?;
    site.left().await?;
    let (store, now, any) = (&site.store, site.clock.wall(), Expected::Any);

    let once = Once {
        key: "k".to_owned(),
        request_hash: [1; 32],
        expires_at: now + Duration::from_mins(1),
        answer,
    };
    let (id, text) = (site.id().0.into(), content(Visibility::Nda));
    let outcome = store.create_pitch(&ivy, id, text, Some(once), now);
    assert_eq!(refusal(outcome.await)?, Refusal::Forbidden);
    assert_eq!(site.count("idempotency_keys").await?, 0);

    let (none, stale) = (PitchChange::default(), Expected::OneOf(vec![7]));
    let outcome = store.edit_pitch(&ivy, pitch.id, &any, none.clone(), now);
    assert_eq!(refusal(outcome.await)?, Refusal::Forbidden);
    let outcome = store.edit_pitch(&ann, pitch.id, &stale, none, now);
    assert_eq!(refusal(outcome.await)?, Refusal::Stale);
    let no_genres = PitchChange {
        genres: Some(Vec::new()),
        ..PitchChange::default()
    };
    let outcome = store.edit_pitch(&ann, pitch.id, &any, no_genres, now);
    let incomplete = Refusal::Incomplete(vec!["genres"]);
    assert_eq!(refusal(outcome.await)?, incomplete);

    let (publish, origin) = (PitchAction::Publish, &site.origin);
    let outcome = store.step_pitch(&ann, pitch.id, &any, publish, origin, now);
    assert!(matches!(refusal(outcome.await)?, Refusal::NotAllowed(_)));
    let outcome = store.delete_pitch(&ivy, pitch.id, &any, origin, now);
    assert_eq!(refusal(outcome.await)?, Refusal::Forbidden);
    let nobody = site.id();
    let outcome = store.save_pitch(&ivy, nobody.0.into(), now);
    assert_eq!(refusal(outcome.await)?, Refusal::NotFound);

    assert_eq!(site.left().await?, [""; 0]);
    let read = store.full_pitch(pitch.id, None).await?;
    assert_eq!(read.context("it is there")?.pitch, pitch);
    Ok(())
}

#[tokio::test]
async fn a_refused_deal_or_follow_leaves_nothing() -> Result<()> {
    let site = Site::new().await?;
    let (ann, ivy) = (site.creator().await?, site.investor().await?);
    let public = site.published(&ann, Visibility::Public).await?;
    let pitch = site.published(&ann, Visibility::Nda).await?;
    let nda = site.request(&ivy, &pitch).await??;
    let interest = site.express(&ivy, &pitch).await??;
    site.left().await?;
    let (store, now, any) = (&site.store, site.clock.wall(), Expected::Any);

    let outcome = site.request(&ivy, &pitch).await;
    assert_eq!(refusal(outcome)?, Conflict::NdaExists.into());
    let outcome = site.request(&ivy, &public).await;
    assert_eq!(refusal(outcome)?, Conflict::NdaNotNeeded.into());
    let approve = NdaStep {
        action: NdaAction::Approve,
        decision: String::new(),
        expires_at: None,
    };
    let outcome = store.step_nda(&ivy, nda.id, &any, approve, &site.origin, now);
    assert_eq!(refusal(outcome.await)?, Refusal::Forbidden);
    assert_eq!(store.nda(nda.id).await?, Some(nda));

    let outcome = site.express(&ivy, &pitch).await;
    assert_eq!(refusal(outcome)?, Conflict::InterestExists.into());
    let accept = InterestAction::Accept;
    let outcome = store.step_interest(&ivy, interest.id, &any, accept, &site.origin, now);
    assert_eq!(refusal(outcome.await)?, Refusal::Forbidden);
    assert_eq!(store.interest(interest.id).await?, Some(interest));

    let nobody = site.id();
    let outcome = store.follow(&ivy, ivy.id, now);
    assert_eq!(refusal(outcome.await)?, Refusal::Forbidden);
    let outcome = store.follow(&ivy, nobody, now);
    assert_eq!(refusal(outcome.await)?, Refusal::NotFound);
    assert_eq!(site.count("follows").await?, 0);

    assert_eq!(site.left().await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn the_life_of_a_pitch_is_told_to_caches_listeners_followers_and_the_audit_log() -> Result<()>
{
    let site = Site::new().await?;
    let (ann, ivy) = (site.creator().await?, site.investor().await?);
    let (store, now) = (&site.store, || site.clock.wall());
    store.follow(&ivy, ann.id, now()).await??;
    site.left().await?;

    let draft = site.draft(&ann, Visibility::Nda).await?;
    let told = ["tag pitch:…", "event pitch pitch_changed draft 1"];
    assert_eq!(site.left().await?, told);

    let pitch = site.step(&ann, &draft, PitchAction::Publish).await?;
    let told = [
        "event user notified pitch_published",
        "event pitch pitch_changed published 2",
        "notice to ivy pitch_published from ann Title",
        "audit ann pitch.publish pitch r-1",
    ];
    assert_eq!(site.left().await?, [&LISTED[..], &told].concat());

    let change = PitchChange {
        title: Some("Another".to_owned()),
        ..PitchChange::default()
    };
    let any = Expected::Any;
    let edited = store.edit_pitch(&ann, pitch.id, &any, change, now());
    let pitch = edited.await??;
    let told = [
        "tag pitch:…",
        "tag search",
        "event pitch pitch_changed published 3",
    ];
    assert_eq!(site.left().await?, told);

    let pitch = site.step(&ann, &pitch, PitchAction::Archive).await?;
    let told = [
        "event pitch pitch_changed archived 4",
        "audit ann pitch.archive pitch r-1",
    ];
    assert_eq!(site.left().await?, [&LISTED[..], &told].concat());
    assert_eq!(site.count("pitch_listings").await?, 0);

    let pitch = site.step(&ann, &pitch, PitchAction::Publish).await?;
    let told = [
        "event pitch pitch_changed published 5",
        "audit ann pitch.publish pitch r-1",
    ];
    assert_eq!(site.left().await?, [&LISTED[..], &told].concat());

    let deleted = store.delete_pitch(&ann, pitch.id, &any, &site.origin, now());
    deleted.await??;
    let told = [
        "event pitch pitch_changed published 6",
        "audit ann pitch.delete pitch r-1",
    ];
    assert_eq!(site.left().await?, [&LISTED[..], &told].concat());
    assert_eq!(store.full_pitch(pitch.id, Some(ann.id)).await?, None);
    assert_eq!(site.count("pitch_listings").await?, 0);
    Ok(())
}

#[tokio::test]
async fn every_step_of_a_deal_is_told_to_the_other_side_and_the_audit_log() -> Result<()> {
    let site = Site::new().await?;
    let (ann, ivy) = (site.creator().await?, site.investor().await?);
    let pitch = site.published(&ann, Visibility::Nda).await?;
    site.left().await?;

    let nda = site.request(&ivy, &pitch).await??;
    let told = [
        "event nda nda_changed requested 1",
        "event user notified nda_requested",
        "notice to ann nda_requested from ivy Title",
        "audit ivy nda.request nda r-1",
    ];
    assert_eq!(site.left().await?, told);
    let nda = site.decide(&ann, &nda, NdaAction::Approve, true).await?;
    let told = [
        "event nda nda_changed approved 2",
        "event user notified nda_approved",
        "notice to ivy nda_approved from ann Title",
        "audit ann nda.approve nda r-1",
    ];
    assert_eq!(site.left().await?, told);
    assert!(!nda.holds(site.clock.wall()));
    let nda = site.request(&ivy, &pitch).await??;
    let told = [
        "event nda nda_changed requested 1",
        "event nda nda_changed revoked 3",
        "event user notified nda_requested",
        "notice to ann nda_requested from ivy Title",
        "audit ivy nda.request nda r-1",
    ];
    assert_eq!(site.left().await?, told, "over an expired one");
    site.decide(&ann, &nda, NdaAction::Reject, false).await?;
    let told = [
        "event nda nda_changed rejected 2",
        "event user notified nda_rejected",
        "notice to ivy nda_rejected from ann Title",
        "audit ann nda.reject nda r-1",
    ];
    assert_eq!(site.left().await?, told);

    let interest = site.express(&ivy, &pitch).await??;
    let told = [
        "event interest interest_changed expressed 1",
        "event user notified interest_expressed",
        "notice to ann interest_expressed from ivy Title",
        "audit ivy interest.express interest r-1",
    ];
    assert_eq!(site.left().await?, told);
    let (any, now, accept) = (Expected::Any, site.clock.wall(), InterestAction::Accept);
    let accepted = site
        .store
        .step_interest(&ann, interest.id, &any, accept, &site.origin, now);
    accepted.await??;
    let told = [
        "event interest interest_changed accepted 2",
        "event user notified interest_accepted",
        "notice to ivy interest_accepted from ann Title",
        "audit ann interest.accept interest r-1",
    ];
    assert_eq!(site.left().await?, told);
    Ok(())
}

#[tokio::test]
async fn following_is_told_once_and_saving_to_nobody() -> Result<()> {
    let site = Site::new().await?;
    let (ann, ivy) = (site.creator().await?, site.investor().await?);
    let pitch = site.published(&ann, Visibility::Public).await?;
    site.left().await?;
    let (store, now) = (&site.store, || site.clock.wall());

    store.follow(&ivy, ann.id, now()).await??;
    let told = [
        "tag user:…",
        "event user notified followed",
        "notice to ann followed from ivy",
    ];
    assert_eq!(site.left().await?, told);
    store.follow(&ivy, ann.id, now()).await??;
    assert_eq!(site.left().await?, [""; 0], "followed already");
    store.unfollow(&ivy, ann.id).await?;
    assert_eq!(site.left().await?, ["tag user:…"]);
    store.unfollow(&ivy, ann.id).await?;
    assert_eq!(site.left().await?, [""; 0], "no longer followed");

    for saved in [1, 1] {
        store.save_pitch(&ivy, pitch.id, now()).await??;
        assert_eq!(site.count("saved_pitches").await?, saved);
    }
    for _ in 0..2 {
        store.unsave_pitch(ivy.id, pitch.id).await?;
        assert_eq!(site.count("saved_pitches").await?, 0);
    }
    assert_eq!(site.left().await?, [""; 0], "nobody else's business");
    Ok(())
}
