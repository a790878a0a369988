//! Requests that are done once however often they come.

use super::given::{
    answer, at, cast, content, id, new, new_interest, new_nda, origin, published, refused,
};
use super::{Harness, Result};
use crate::Market as _;
use crate::market::{Created, Once};
use pitchey_model::decide::{Conflict, Refusal};
use pitchey_model::{Pitch, PitchContent, Visibility};

/// Asks for `request` under a key, to be kept for an hour.
fn once(key: &str, request: u8, minute: i64) -> Once<Pitch> {
    Once {
        key: key.to_owned(),
        request_hash: [request; 32],
        expires_at: at(minute + 60),
        answer: |pitch| answer(pitch.id.0),
    }
}

fn film(n: u8) -> PitchContent {
    content(&format!("Film {n}"), Visibility::Public)
}

/// Nothing is done again, whatever has become of it since.
pub async fn a_repeated_request_gets_the_first_answer(harness: impl Harness) -> Result {
    let store = harness.store();
    let ann = cast(&harness).await.ann;
    let key = "‘k’".repeat(42);
    let first = store
        .create_pitch(&ann, id(100), film(1), Some(once(&key, 1, 0)), at(0))
        .await?;
    assert_eq!(new(first).id, id(100));
    let before = harness.traces().await;
    for n in [101, 102] {
        let again = store
            .create_pitch(&ann, id(n), film(1), Some(once(&key, 1, 1)), at(1))
            .await?;
        assert_eq!(
            again,
            Ok(Created::Before(answer(uuid::Uuid::from_u128(100))))
        );
        assert_eq!(store.full_pitch(id(n), None).await?, None);
    }
    assert_eq!(harness.traces().await, before);
    assert_eq!(store.own_pitches(ann.id, None, 10).await?.items.len(), 1);
    Ok(())
}

/// The same key with another request is refused; another account's key is another key, as is another's case.
pub async fn a_key_belongs_to_one_request_of_one_account(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    new(store
        .create_pitch(&cast.ann, id(100), film(1), Some(once("key", 1, 0)), at(0))
        .await?);
    let other = store
        .create_pitch(&cast.ann, id(101), film(2), Some(once("key", 2, 1)), at(1))
        .await?;
    assert_eq!(refused(other), Refusal::KeyReused);
    assert_eq!(store.full_pitch(id(101), None).await?, None);
    new(store
        .create_pitch(&cast.bob, id(102), film(2), Some(once("key", 2, 1)), at(1))
        .await?);
    new(store
        .create_pitch(&cast.ann, id(103), film(2), Some(once("Key", 2, 1)), at(1))
        .await?);
    new(store
        .create_pitch(&cast.ann, id(104), film(1), None, at(1))
        .await?);
    Ok(())
}

/// At its expiry, to the microsecond, and for any request; then the new answer is the one.
pub async fn an_expired_key_can_be_used_again(harness: impl Harness) -> Result {
    let store = harness.store();
    let ann = cast(&harness).await.ann;
    new(store
        .create_pitch(&ann, id(100), film(1), Some(once("key", 1, 0)), at(0))
        .await?);
    let early = at(60) - time::Duration::microseconds(1);
    let outcome = store
        .create_pitch(&ann, id(101), film(2), Some(once("key", 2, 60)), early)
        .await?;
    assert_eq!(refused(outcome), Refusal::KeyReused);
    new(store
        .create_pitch(&ann, id(101), film(2), Some(once("key", 2, 60)), at(60))
        .await?);
    let again = store
        .create_pitch(&ann, id(102), film(2), Some(once("key", 2, 61)), at(61))
        .await?;
    assert_eq!(
        again,
        Ok(Created::Before(answer(uuid::Uuid::from_u128(101))))
    );
    Ok(())
}

/// What was refused may be allowed the next time.
pub async fn a_refusal_is_not_kept(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let outcome = store
        .create_pitch(&cast.ida, id(100), film(1), Some(once("key", 1, 0)), at(0))
        .await?;
    assert_eq!(refused(outcome), Refusal::Forbidden);
    let promoted = pitchey_model::Actor {
        role: cast.ann.role,
        ..cast.ida
    };
    let outcome = store
        .create_pitch(&promoted, id(100), film(2), Some(once("key", 2, 1)), at(1))
        .await?;
    assert_eq!(new(outcome).id, id(100));
    Ok(())
}

/// NDAs and interests too: the repeated request is answered before anything stands in its way.
pub async fn deals_are_made_once(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let pitch = published(store, &cast.ann, 100, Visibility::Nda, at(0))
        .await?
        .id;
    for n in [1, 2] {
        let once = Some(Once {
            key: "nda".to_owned(),
            request_hash: [1; 32],
            expires_at: at(60),
            answer: |nda: &pitchey_model::Nda| answer(nda.id.0),
        });
        let outcome = store
            .request_nda(&cast.ida, new_nda(n, pitch), once, &origin(), at(1))
            .await?;
        match (n, outcome) {
            (1, outcome) => assert_eq!(new(outcome).id, id(0xA001)),
            (_, outcome) => {
                assert_eq!(
                    outcome,
                    Ok(Created::Before(answer(uuid::Uuid::from_u128(0xA001))))
                );
            }
        }
        let once = Some(Once {
            key: "interest".to_owned(),
            request_hash: [1; 32],
            expires_at: at(60),
            answer: |interest: &pitchey_model::Interest| answer(interest.id.0),
        });
        let interest = new_interest(n, pitch);
        let outcome = store
            .express_interest(&cast.ida, interest, once, &origin(), at(1))
            .await?;
        match (n, outcome) {
            (1, outcome) => assert_eq!(new(outcome).id, id(0xB001)),
            (_, outcome) => {
                assert_eq!(
                    outcome,
                    Ok(Created::Before(answer(uuid::Uuid::from_u128(0xB001))))
                );
            }
        }
    }
    let outcome = store
        .request_nda(&cast.ida, new_nda(3, pitch), None, &origin(), at(2))
        .await?;
    assert_eq!(
        refused(outcome),
        Conflict::NdaExists.into(),
        "without the key"
    );
    Ok(())
}
