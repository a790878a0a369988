//! The fake keeps the contract too.

use super::*;
use crate::accounts::Origin;
use crate::contract::{self, Harness, Traces};
use crate::market::{Once, StoredAnswer};
use crate::{Accounts as _, Health as _, Intake as _, Market as _};
use pitchey_model::decide::Conflict;
use pitchey_model::{Actor, PitchId, Role, SessionId};
use time::Duration;

impl Harness for MemStore {
    type Store = Self;

    fn store(&self) -> &Self {
        self
    }

    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::days(20_500)
    }

    async fn given(&self, users: &[Profile], pitches: &[StoredPitch]) {
        for user in users {
            self.add_user(user.clone());
        }
        for pitch in pitches {
            self.add_pitch(pitch.clone());
        }
    }

    async fn lock_user(&self, user: UserId) {
        MemStore::lock_user(self, user);
    }

    async fn delete_user(&self, user: UserId) {
        MemStore::delete_user(self, user);
    }

    async fn refresh(&self) {}

    async fn traces(&self) -> Traces {
        let effects = self.effects();
        let text = ToOwned::to_owned;
        Traces {
            tags: effects.tags.iter().map(|tag| text(tag.as_str())).collect(),
            events: effects
                .events
                .iter()
                .map(|event| text(event.kind()))
                .collect(),
            audit: effects
                .audit
                .iter()
                .map(|audit| text(audit.entry.action))
                .collect(),
            rum: self.rum_samples().len() as u64,
            analytics: self.analytics_events().len() as u64,
        }
    }
}

contract::suite!(mem, async { MemStore::default() });

#[tokio::test]
async fn a_key_that_is_held_is_in_flight() {
    let store = MemStore::default();
    let actor = Actor {
        id: UserId(uuid::Uuid::from_u128(1)),
        username: creator(1, "ann").username,
        display_name: "ann".to_owned(),
        role: Role::Creator,
        session: SessionId(uuid::Uuid::from_u128(2)),
    };
    store.add_user(creator(1, "ann"));
    store.hold_key(actor.id, "key");
    let now = store.now();
    let content = PitchRow::from(pitch(3, "Film", &creator(1, "ann")))
        .pitch
        .content;
    let once = Once {
        key: "key".to_owned(),
        request_hash: [0; 32],
        expires_at: now + Duration::hours(1),
        answer: |_| StoredAnswer {
            status: 201,
            headers: Vec::new(),
            body: Vec::new(),
        },
    };
    let id = PitchId(uuid::Uuid::from_u128(3));
    let outcome = store
        .create_pitch(&actor, id, content, Some(once), now)
        .await
        .expect("there is no outage");
    assert_eq!(outcome, Err(Conflict::KeyInFlight.into()));
    assert!(store.effects().events.is_empty());
}

#[tokio::test]
async fn an_outage_holds_for_every_port() {
    let store = MemStore::default();
    store.set_outage(Some(Outage::Timeout));
    let user = creator(1, "ann").id;
    let now = store.now();
    let failures = [
        store.ping().await.err(),
        store.account(user).await.err(),
        store
            .end_sessions(user, &Origin::default(), now)
            .await
            .err(),
        store.own_pitches(user, None, 1).await.err(),
        store.read_notifications(user, None, now).await.err(),
        store.record_views(&[]).await.err(),
        store.record_rum(&[]).await.err(),
    ];
    for failure in failures {
        assert!(
            matches!(failure, Some(StoreError::Timeout(_))),
            "{failure:?}"
        );
    }
    store.set_outage(None);
    assert!(
        store
            .account(user)
            .await
            .is_ok_and(|account| account.is_none())
    );
}
