//! NDAs.

use super::given::{
    at, cast, done, drafted, id, new_nda, origin, person, published, refused, requested,
};
use super::{Harness, Result, pages};
use crate::market::Outcome;
use crate::{FullStore, Market as _, StoreError};
use pitchey_model::decide::{Conflict, Expected, NdaStep, Refusal};
use pitchey_model::lifecycle::{NdaAction, NotAllowed};
use pitchey_model::{
    Actor, Nda, NdaId, NdaStatus, NoticeKind, PitchChange, PitchId, Side, UserId, Visibility,
};
use time::{Duration, OffsetDateTime};

async fn step<S: FullStore>(
    store: &S,
    actor: &Actor,
    nda: &Nda,
    action: NdaAction,
    now: OffsetDateTime,
) -> Outcome<Nda> {
    let step = NdaStep {
        action,
        decision: "Because".to_owned(),
        expires_at: None,
    };
    store
        .step_nda(actor, nda.id, &Expected::Any, step, &origin(), now)
        .await
}

async fn live<S: FullStore>(
    store: &S,
    pitch: PitchId,
    reader: UserId,
) -> std::result::Result<Option<Nda>, StoreError> {
    let full = store.full_pitch(pitch, Some(reader)).await?;
    Ok(full.and_then(|full| full.nda))
}

/// It is kept as it was asked for, told to the creator, and the only one of its kind.
pub async fn an_nda_is_asked_for(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let pitch = published(store, &cast.ann, 100, Visibility::Nda, at(0)).await?;
    let before = harness.traces().await;
    let nda = requested(store, &cast.ida, 1, pitch.id, at(1)).await?;
    let expected = Nda {
        id: id(0xA001),
        pitch: pitch.id,
        pitch_title: "Film 100".to_owned(),
        requester: person(&cast.ida),
        creator: person(&cast.ann),
        status: NdaStatus::Requested,
        message: "Please, 1".to_owned(),
        decision: String::new(),
        created_at: at(1),
        decided_at: None,
        expires_at: None,
        version: 1,
    };
    assert_eq!(nda, expected);
    assert_eq!(store.nda(nda.id).await?.as_ref(), Some(&nda));
    assert_eq!(
        live(store, pitch.id, cast.ida.id).await?.as_ref(),
        Some(&nda)
    );
    assert_eq!(
        live(store, pitch.id, cast.ivo.id).await?,
        None,
        "it is hers alone"
    );
    let told = store.notifications(cast.ann.id, None, 10).await?.items;
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].kind, told[0].notice.nda_id),
        (NoticeKind::NdaRequested, Some(nda.id))
    );
    assert_eq!(told[0].notice.pitch_title.as_deref(), Some("Film 100"));
    assert_eq!(told[0].notice.username, cast.ida.username);
    let traces = harness.traces().await.since(&before);
    assert_eq!(traces.events, ["nda_changed", "notified"]);
    assert_eq!(traces.audit, ["nda.request"]);

    let again = store
        .request_nda(&cast.ida, new_nda(2, pitch.id), None, &origin(), at(2))
        .await?;
    assert_eq!(refused(again), Conflict::NdaExists.into());
    assert_eq!(store.nda(id(0xA002)).await?, None);
    requested(store, &cast.pia, 3, pitch.id, at(3)).await?;

    let change = PitchChange {
        title: Some("Another".to_owned()),
        ..PitchChange::default()
    };
    done(
        store
            .edit_pitch(&cast.ann, pitch.id, &Expected::Any, change, at(4))
            .await?,
    );
    let titled = store.nda(nda.id).await?.map(|nda| nda.pitch_title);
    assert_eq!(titled.as_deref(), Some("Another"), "titles are not copied");
    Ok(())
}

/// Open ones need none, hidden ones tell of none, one's own and other roles' have none.
pub async fn not_every_pitch_has_ndas(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let open = published(store, &cast.ann, 100, Visibility::Public, at(0))
        .await?
        .id;
    let draft = drafted(store, &cast.ann, 101, Visibility::Nda, at(0))
        .await?
        .id;
    let shown = published(store, &cast.ann, 102, Visibility::Nda, at(0))
        .await?
        .id;
    let before = harness.traces().await;
    for (actor, pitch, why) in [
        (&cast.ida, open, Conflict::NdaNotNeeded.into()),
        (&cast.ida, draft, Refusal::NotFound),
        (&cast.ida, id(999), Refusal::NotFound),
        (&cast.ann, shown, Refusal::Forbidden),
        (&cast.bob, shown, Refusal::Forbidden),
    ] {
        let outcome = store
            .request_nda(actor, new_nda(1, pitch), None, &origin(), at(1))
            .await?;
        assert_eq!(refused(outcome), why);
    }
    assert_eq!(store.nda(id(0xA001)).await?, None);
    assert_eq!(harness.traces().await, before);
    Ok(())
}

/// By the creator, from the version that was read, for as long as was said, and the requester hears of it.
pub async fn ndas_are_decided(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let pitch = published(store, &cast.ann, 100, Visibility::Nda, at(0))
        .await?
        .id;
    let nda = requested(store, &cast.ida, 1, pitch, at(1)).await?;
    let approve = NdaStep {
        action: NdaAction::Approve,
        decision: "Welcome, ‘Ida’".to_owned(),
        expires_at: Some(at(1000)),
    };
    for (actor, which, expected, why) in [
        (&cast.ida, nda.id, Expected::Any, Refusal::Forbidden),
        (&cast.root, nda.id, Expected::Any, Refusal::Forbidden),
        (&cast.bob, nda.id, Expected::Any, Refusal::NotFound),
        (
            &cast.ann,
            id::<NdaId>(0xA009),
            Expected::Any,
            Refusal::NotFound,
        ),
        (&cast.ann, nda.id, Expected::OneOf(vec![2]), Refusal::Stale),
    ] {
        let step = approve.clone();
        let outcome = store
            .step_nda(actor, which, &expected, step, &origin(), at(2))
            .await?;
        assert_eq!(refused(outcome), why);
    }
    assert_eq!(store.nda(nda.id).await?.as_ref(), Some(&nda));

    let read = Expected::OneOf(vec![nda.version]);
    let outcome = store
        .step_nda(&cast.ann, nda.id, &read, approve, &origin(), at(3))
        .await?;
    let approved = done(outcome);
    let expected = Nda {
        status: NdaStatus::Approved,
        decision: "Welcome, ‘Ida’".to_owned(),
        decided_at: Some(at(3)),
        expires_at: Some(at(1000)),
        version: 2,
        ..nda
    };
    assert_eq!(approved, expected);
    assert_eq!(store.nda(approved.id).await?.as_ref(), Some(&approved));
    assert_eq!(
        live(store, pitch, cast.ida.id).await?.as_ref(),
        Some(&approved)
    );
    let told = store.notifications(cast.ida.id, None, 10).await?.items;
    assert_eq!(
        told.iter().map(|told| told.kind).collect::<Vec<_>>(),
        [NoticeKind::NdaApproved]
    );

    let twice = step(store, &cast.ann, &approved, NdaAction::Approve, at(4)).await?;
    let why = NotAllowed {
        action: "approve",
        state: "approved",
    };
    assert_eq!(refused(twice), Refusal::NotAllowed(why));

    let other = requested(store, &cast.ivo, 2, pitch, at(5)).await?;
    let other = done(step(store, &cast.ann, &other, NdaAction::Approve, at(6)).await?);
    assert_eq!(other.expires_at, Some(at(6) + Nda::DEFAULT_TERM));
    assert_eq!(store.nda(other.id).await?, Some(other));
    Ok(())
}

/// Rejected or revoked, it is final, opens nothing, and makes room for another request.
pub async fn ndas_end(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let pitch = published(store, &cast.ann, 100, Visibility::Nda, at(0))
        .await?
        .id;
    let nda = requested(store, &cast.ida, 1, pitch, at(1)).await?;
    let rejected = done(step(store, &cast.ann, &nda, NdaAction::Reject, at(2)).await?);
    assert_eq!(
        (rejected.status, rejected.decision.as_str()),
        (NdaStatus::Rejected, "Because")
    );
    assert_eq!(store.nda(nda.id).await?.as_ref(), Some(&rejected));
    assert_eq!(live(store, pitch, cast.ida.id).await?, None);
    let outcome = step(store, &cast.ann, &rejected, NdaAction::Approve, at(3)).await?;
    let why = NotAllowed {
        action: "approve",
        state: "rejected",
    };
    assert_eq!(refused(outcome), Refusal::NotAllowed(why));

    let nda = requested(store, &cast.ida, 2, pitch, at(4)).await?;
    done(step(store, &cast.ann, &nda, NdaAction::Approve, at(5)).await?);
    let revoked = done(step(store, &cast.root, &nda, NdaAction::Revoke, at(6)).await?);
    assert_eq!((revoked.status, revoked.version), (NdaStatus::Revoked, 3));
    assert_eq!(store.nda(nda.id).await?, Some(revoked));
    assert_eq!(live(store, pitch, cast.ida.id).await?, None);

    requested(store, &cast.ida, 3, pitch, at(7)).await?;
    let told = store.notifications(cast.ida.id, None, 10).await?.items;
    let kinds: Vec<NoticeKind> = told.iter().map(|told| told.kind).collect();
    let expected = [
        NoticeKind::NdaRevoked,
        NoticeKind::NdaApproved,
        NoticeKind::NdaRejected,
    ];
    assert_eq!(kinds, expected);
    Ok(())
}

/// The old one comes back revoked, and there is one live one.
pub async fn an_expired_nda_makes_room(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let pitch = published(store, &cast.ann, 100, Visibility::Nda, at(0))
        .await?
        .id;
    let old = requested(store, &cast.ida, 1, pitch, at(1)).await?;
    let for_a_while = NdaStep {
        action: NdaAction::Approve,
        decision: "For a while".to_owned(),
        expires_at: Some(at(10)),
    };
    let any = Expected::Any;
    done(
        store
            .step_nda(&cast.ann, old.id, &any, for_a_while, &origin(), at(2))
            .await?,
    );
    let early = at(10) - Duration::microseconds(1);
    let outcome = store
        .request_nda(&cast.ida, new_nda(2, pitch), None, &origin(), early)
        .await?;
    assert_eq!(refused(outcome), Conflict::NdaExists.into());
    let before = harness.traces().await;
    let new = requested(store, &cast.ida, 3, pitch, at(10)).await?;
    let traces = harness.traces().await.since(&before);
    assert_eq!(traces.events, ["nda_changed", "nda_changed", "notified"]);
    let old = store.nda(old.id).await?.expect("it is kept");
    assert_eq!(
        (old.status, old.decision.as_str()),
        (NdaStatus::Revoked, "expired")
    );
    assert_eq!(
        (old.decided_at, old.expires_at, old.version),
        (Some(at(10)), Some(at(10)), 3)
    );
    assert_eq!(live(store, pitch, cast.ida.id).await?.as_ref(), Some(&new));
    let both = store
        .ndas(cast.ida.id, Side::Outgoing, None, 10)
        .await?
        .items;
    assert_eq!(both, [new, old]);
    Ok(())
}

/// Newest first, ties broken by the id, each side its own.
pub async fn ndas_are_listed_by_side(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    for n in 0..5_u8 {
        let number = u128::from(n);
        let creator = if n == 4 { &cast.bob } else { &cast.ann };
        let pitch = published(store, creator, 100 + number, Visibility::Nda, at(0))
            .await?
            .id;
        let now = at(1 + i64::from(n / 2));
        requested(store, &cast.ida, number, pitch, now).await?;
        requested(store, &cast.ivo, 10 + number, pitch, now).await?;
    }
    let list = |user, side, limit| {
        let page = move |after| store.ndas(user, side, after, limit);
        pages(limit, page)
    };
    for (user, side, expected) in [
        (cast.ida.id, Side::Outgoing, vec![4, 3, 2, 1, 0]),
        (
            cast.ann.id,
            Side::Incoming,
            vec![13, 12, 3, 2, 11, 10, 1, 0],
        ),
        (cast.bob.id, Side::Incoming, vec![14, 4]),
        (cast.ann.id, Side::Outgoing, vec![]),
        (cast.ida.id, Side::Incoming, vec![]),
    ] {
        let whole = list(user, side, 100).await?;
        let ids: Vec<NdaId> = whole.iter().map(|nda| nda.id).collect();
        let expected: Vec<NdaId> = expected.into_iter().map(|n| id(0xA000 + n)).collect();
        assert_eq!(ids, expected, "{side}");
        for limit in [1, 2, 3] {
            assert_eq!(list(user, side, limit).await?, whole, "{side} by {limit}");
        }
    }
    Ok(())
}
