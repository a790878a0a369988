//! Expressions of interest.

use super::given::{
    at, cast, done, drafted, expressed, id, money, new_interest, origin, person, published, refused,
};
use super::{Harness, Result, pages};
use crate::Market as _;
use pitchey_model::decide::{Conflict, Expected, Refusal};
use pitchey_model::lifecycle::{InterestAction, NotAllowed};
use pitchey_model::{Interest, InterestId, InterestStatus, NoticeKind, Side, Visibility};

/// It is kept as it was expressed, told to the creator, and the only one of its kind.
pub async fn an_interest_is_expressed(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let pitch = published(store, &cast.ann, 100, Visibility::Public, at(0)).await?;
    let draft = drafted(store, &cast.ann, 101, Visibility::Public, at(0)).await?;
    let before = harness.traces().await;
    for (actor, pitch, why) in [
        (&cast.ida, draft.id, Refusal::NotFound),
        (&cast.ida, id(999), Refusal::NotFound),
        (&cast.ann, pitch.id, Refusal::Forbidden),
        (&cast.root, pitch.id, Refusal::Forbidden),
    ] {
        let new = new_interest(1, pitch);
        let outcome = store
            .express_interest(actor, new, None, &origin(), at(1))
            .await?;
        assert_eq!(refused(outcome), why);
    }
    assert_eq!(store.interest(id(0xB001)).await?, None);
    assert_eq!(harness.traces().await, before);

    let interest = expressed(store, &cast.ida, 1, pitch.id, at(2)).await?;
    let expected = Interest {
        id: id(0xB001),
        pitch: pitch.id,
        pitch_title: "Film 100".to_owned(),
        investor: person(&cast.ida),
        creator: person(&cast.ann),
        status: InterestStatus::Expressed,
        amount: money(500_000),
        message: "Count me in, 1".to_owned(),
        created_at: at(2),
        decided_at: None,
        version: 1,
    };
    assert_eq!(interest, expected);
    assert_eq!(store.interest(interest.id).await?.as_ref(), Some(&interest));
    let told = store.notifications(cast.ann.id, None, 10).await?.items;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].kind, NoticeKind::InterestExpressed);
    assert_eq!(told[0].notice.interest_id, Some(interest.id));
    let traces = harness.traces().await.since(&before);
    assert_eq!(traces.events, ["interest_changed", "notified"]);
    assert_eq!(traces.audit, ["interest.express"]);

    let again = new_interest(2, pitch.id);
    let outcome = store
        .express_interest(&cast.ida, again, None, &origin(), at(3))
        .await?;
    assert_eq!(refused(outcome), Conflict::InterestExists.into());
    assert_eq!(store.interest(id(0xB002)).await?, None);
    expressed(store, &cast.pia, 3, pitch.id, at(3)).await?;
    Ok(())
}

/// Each side by its own steps, from the version that was read; what is over makes room.
pub async fn interests_are_decided(harness: impl Harness) -> Result {
    use InterestAction::{Accept, Decline, Withdraw};
    let store = harness.store();
    let cast = cast(&harness).await;
    let pitch = published(store, &cast.ann, 100, Visibility::Nda, at(0))
        .await?
        .id;
    let any = Expected::Any;
    let first = expressed(store, &cast.ida, 1, pitch, at(1)).await?;
    for (actor, which, expected, action, why) in [
        (&cast.ida, first.id, any.clone(), Accept, Refusal::Forbidden),
        (
            &cast.ann,
            first.id,
            any.clone(),
            Withdraw,
            Refusal::Forbidden,
        ),
        (
            &cast.ivo,
            first.id,
            any.clone(),
            Withdraw,
            Refusal::NotFound,
        ),
        (
            &cast.ann,
            id(0xB009),
            any.clone(),
            Accept,
            Refusal::NotFound,
        ),
        (
            &cast.ann,
            first.id,
            Expected::OneOf(vec![2]),
            Accept,
            Refusal::Stale,
        ),
    ] {
        let outcome = store
            .step_interest(actor, which, &expected, action, &origin(), at(2))
            .await?;
        assert_eq!(refused(outcome), why);
    }
    assert_eq!(store.interest(first.id).await?.as_ref(), Some(&first));

    let read = Expected::OneOf(vec![1]);
    for (n, actor, action, status) in [
        (1, &cast.ida, Withdraw, InterestStatus::Withdrawn),
        (2, &cast.ann, Decline, InterestStatus::Declined),
        (3, &cast.ann, Accept, InterestStatus::Accepted),
    ] {
        let now = at(i64::try_from(n).unwrap_or_default() * 10);
        if n > 1 {
            expressed(store, &cast.ida, n, pitch, now).await?;
        }
        let which = id(0xB000 + n);
        let outcome = store
            .step_interest(actor, which, &read, action, &origin(), now)
            .await?;
        let after = done(outcome);
        assert_eq!(
            (after.status, after.decided_at, after.version),
            (status, Some(now), 2)
        );
        assert_eq!(store.interest(which).await?, Some(after));
    }
    let outcome = store
        .step_interest(&cast.ann, id(0xB003), &any, Decline, &origin(), at(40))
        .await?;
    let why = NotAllowed {
        action: "decline",
        state: "accepted",
    };
    assert_eq!(refused(outcome), Refusal::NotAllowed(why));
    let new = new_interest(4, pitch);
    let outcome = store
        .express_interest(&cast.ida, new, None, &origin(), at(41))
        .await?;
    assert_eq!(
        refused(outcome),
        Conflict::InterestExists.into(),
        "an accepted one is live"
    );

    let told = store.notifications(cast.ida.id, None, 10).await?.items;
    let kinds: Vec<NoticeKind> = told.iter().map(|told| told.kind).collect();
    assert_eq!(
        kinds,
        [NoticeKind::InterestAccepted, NoticeKind::InterestDeclined]
    );
    let told = store.notifications(cast.ann.id, None, 10).await?.items;
    let withdrawn = told
        .iter()
        .filter(|told| told.kind == NoticeKind::InterestWithdrawn);
    assert_eq!(withdrawn.count(), 1);
    Ok(())
}

/// Newest first, ties broken by the id, each side its own.
pub async fn interests_are_listed_by_side(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    for n in 0..5_u8 {
        let number = u128::from(n);
        let creator = if n == 4 { &cast.bob } else { &cast.ann };
        let pitch = published(store, creator, 100 + number, Visibility::Public, at(0))
            .await?
            .id;
        let now = at(1 + i64::from(n / 2));
        expressed(store, &cast.ida, number, pitch, now).await?;
        expressed(store, &cast.ivo, 10 + number, pitch, now).await?;
    }
    let list = |user, side, limit| {
        let page = move |after| store.interests(user, side, after, limit);
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
    ] {
        let whole = list(user, side, 100).await?;
        let ids: Vec<InterestId> = whole.iter().map(|interest| interest.id).collect();
        let expected: Vec<InterestId> = expected.into_iter().map(|n| id(0xB000 + n)).collect();
        assert_eq!(ids, expected, "{side}");
        for limit in [1, 2, 3] {
            assert_eq!(list(user, side, limit).await?, whole, "{side} by {limit}");
        }
    }
    Ok(())
}
