//! Who comes first, and what the others are told.

use super::{Site, answer, content};
use anyhow::{Context as _, Result, bail};
use pitchey_model::decide::{Conflict, Expected, Refusal};
use pitchey_model::lifecycle::NdaAction;
use pitchey_model::{
    Actor, Money, NdaStatus, NewInterest, NewNda, Pitch, PitchChange, Role, Visibility,
};
use pitchey_runtime::Clock as _;
use pitchey_store::Market as _;
use pitchey_store::market::{Created, Once, Outcome};
use std::time::Duration;
use tokio::task::JoinSet;

/// How often each outcome came out of many attempts at once.
async fn tally<T: 'static>(mut attempts: JoinSet<Outcome<T>>) -> Result<(usize, Vec<Refusal>)> {
    let (mut won, mut refused) = (0, Vec::new());
    while let Some(attempt) = attempts.join_next().await {
        match attempt?? {
            Ok(_) => won += 1,
            Err(refusal) => refused.push(refusal),
        }
    }
    Ok((won, refused))
}

#[tokio::test]
async fn of_two_edits_of_one_version_one_wins() -> Result<()> {
    let site = Site::new().await?;
    let ann = site.creator().await?;
    let pitch = site.draft(&ann, Visibility::Public).await?;
    for version in 1..=20_i64 {
        let expected = Expected::OneOf(vec![version]);
        let edit = |title: &str| {
            let change = PitchChange {
                title: Some(title.to_owned()),
                ..PitchChange::default()
            };
            let now = site.clock.wall();
            site.store
                .edit_pitch(&ann, pitch.id, &expected, change, now)
        };
        let (left, right) = tokio::join!(edit("left"), edit("right"));
        let title = match (left?, right?) {
            (Ok(won), Err(Refusal::Stale)) | (Err(Refusal::Stale), Ok(won)) => {
                assert_eq!(won.version, version + 1);
                won.content.title
            }
            other => bail!("not one winner: {other:?}"),
        };
        let read = site.store.full_pitch(pitch.id, None).await?;
        let read = read.context("it is there")?.pitch;
        assert_eq!((read.version, read.content.title), (version + 1, title));
    }
    Ok(())
}

#[tokio::test]
async fn one_person_gets_one_nda_however_often_they_ask_at_once() -> Result<()> {
    let site = Site::new().await?;
    let (ann, ivy) = (site.creator().await?, site.investor().await?);
    let pitch = site.published(&ann, Visibility::Nda).await?;
    for expired in [false, true] {
        let mut attempts = JoinSet::new();
        for _ in 0..20 {
            let (store, ivy) = (site.store.clone(), ivy.clone());
            let (origin, now) = (site.origin.clone(), site.clock.wall());
            let new = NewNda {
                id: site.id().0.into(),
                pitch: pitch.id,
                message: String::new(),
            };
            attempts.spawn(async move { store.request_nda(&ivy, new, None, &origin, now).await });
        }
        let (won, refused) = tally(attempts).await?;
        assert_eq!(won, 1, "after an expired one: {expired}");
        assert_eq!(refused, vec![Conflict::NdaExists.into(); 19]);
        // The next round finds one that was approved and is over.
        let full = site.store.full_pitch(pitch.id, Some(ivy.id)).await?;
        let nda = full.and_then(|full| full.nda).context("it is live")?;
        assert_eq!(nda.status, NdaStatus::Requested);
        site.decide(&ann, &nda, NdaAction::Approve, true).await?;
    }
    let stored = site
        .lines("SELECT concat_ws(' ', status, decision, version) FROM ndas ORDER BY created_at")
        .await?;
    assert_eq!(stored, ["revoked expired 3", "approved  2"]);
    Ok(())
}

#[tokio::test]
async fn one_person_has_one_live_interest_however_often_they_say_so_at_once() -> Result<()> {
    let site = Site::new().await?;
    let (ann, ivy) = (site.creator().await?, site.investor().await?);
    let pitch = site.published(&ann, Visibility::Public).await?;
    let mut attempts = JoinSet::new();
    for _ in 0..20 {
        let (store, ivy) = (site.store.clone(), ivy.clone());
        let (origin, now) = (site.origin.clone(), site.clock.wall());
        let new = NewInterest {
            id: site.id().0.into(),
            pitch: pitch.id,
            amount: Money {
                amount: 1,
                currency: "EUR".parse()?,
            },
            message: String::new(),
        };
        attempts.spawn(async move { store.express_interest(&ivy, new, None, &origin, now).await });
    }
    let (won, refused) = tally(attempts).await?;
    assert_eq!(won, 1);
    assert_eq!(refused, vec![Conflict::InterestExists.into(); 19]);
    assert_eq!(site.count("investment_interests").await?, 1);
    Ok(())
}

#[tokio::test]
async fn what_has_one_key_is_done_once_and_answered_the_same() -> Result<()> {
    let site = Site::new().await?;
    let (ann, bob) = (
        site.creator().await?,
        site.person("bob", Role::Creator).await?,
    );
    let once = |hash: u8| Once {
        key: "k".to_owned(),
        request_hash: [hash; 32],
        expires_at: site.clock.wall() + Duration::from_mins(1),
        answer,
    };
    let create = |actor: &Actor, once: Once<Pitch>| {
        let (store, actor) = (site.store.clone(), actor.clone());
        let (id, now) = (site.id().0.into(), site.clock.wall());
        async move {
            store
                .create_pitch(&actor, id, content(Visibility::Public), Some(once), now)
                .await
        }
    };
    let mut attempts = JoinSet::new();
    for _ in 0..50 {
        attempts.spawn(create(&ann, once(1)));
    }
    let (mut new, mut before, mut in_flight) = (Vec::new(), Vec::new(), 0);
    while let Some(attempt) = attempts.join_next().await {
        match attempt?? {
            Ok(Created::New(pitch)) => new.push(pitch),
            Ok(Created::Before(answer)) => before.push(answer),
            Err(Refusal::Conflict(Conflict::KeyInFlight)) => in_flight += 1,
            Err(other) => bail!("refused: {other}"),
        }
    }
    assert_eq!((new.len(), before.len() + in_flight), (1, 49));
    assert!(before.iter().all(|stored| *stored == answer(&new[0])));
    assert_eq!(site.count("pitches").await?, 1);
    assert_eq!(site.count("event_outbox").await?, 1);

    let again = create(&ann, once(1)).await??;
    assert_eq!(again, Created::Before(answer(&new[0])));
    let other = create(&ann, once(2)).await?;
    assert_eq!(other.err(), Some(Refusal::KeyReused));
    assert!(matches!(create(&bob, once(2)).await??, Created::New(_)));
    assert_eq!(site.count("pitches").await?, 2);
    Ok(())
}

#[tokio::test]
async fn who_asks_while_a_pitch_is_archived_is_told_of_the_archived_one() -> Result<()> {
    let site = Site::new().await?;
    let (ann, ivy) = (site.creator().await?, site.investor().await?);
    let pitch = site.published(&ann, Visibility::Nda).await?;
    site.run(&format!(
        "BEGIN; UPDATE pitches SET status = 'archived', archived_at = now() WHERE id = '{}'",
        pitch.id
    ))
    .await?;
    let end = async {
        // Both requests wait for this transaction, or would have read the pitch as it was.
        let waiting =
            "SELECT FROM pg_locks WHERE transactionid = pg_current_xact_id()::xid AND NOT granted";
        for _ in 0..100_000 {
            if site.client.query(waiting, &[]).await?.len() == 2 {
                return site.run("COMMIT").await;
            }
        }
        bail!("nobody waits");
    };
    let (nda, interest, ended) =
        tokio::join!(site.request(&ivy, &pitch), site.express(&ivy, &pitch), end);
    ended?;
    assert_eq!(nda?.err(), Some(Refusal::NotFound));
    assert_eq!(interest?.err(), Some(Refusal::NotFound));
    Ok(())
}
