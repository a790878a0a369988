//! Everything in memory: for tests of what stands on the ports, without a database.
//!
//! It decides as every implementation does, through [`pitchey_model::decide`], and keeps what a change
//! brings about where tests can read it. It knows no stems and no ranks beyond "in the title, in the
//! logline, in the synopsis", and corrects a word only if one letter is wrong: enough for the contract,
//! not a search engine.

mod accounts;
mod catalog;
mod deals;
mod effects;
mod follows;
mod given;
mod intake;
mod market;
mod paging;
mod pitches;
mod search;
mod sessions;
mod users;

pub use effects::{AuditEntry, Recorded};
pub use given::{StoredPitch, creator, pitch};

use crate::StoreError;
use crate::intake::{AnalyticsEvent, RumSample, View};
use effects::KeptAnswer;
use follows::{Follow, Save};
use pitches::PitchRow;
use pitchey_model::event::Notification;
use pitchey_model::{Email, Interest, Nda, Pitch, Profile, UserId};
use secrecy::SecretString;
use sessions::SessionRow;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use time::OffsetDateTime;
use users::UserRow;

/// All tables. Names and titles in rows may be old: they are read through [`State::person`] and the like.
#[derive(Debug, Default)]
struct State {
    users: Vec<UserRow>,
    sessions: Vec<SessionRow>,
    pitches: Vec<PitchRow>,
    ndas: Vec<Nda>,
    interests: Vec<Interest>,
    saves: Vec<Save>,
    follows: Vec<Follow>,
    notifications: Vec<(UserId, Notification)>,
    views: Vec<View>,
    rum: Vec<RumSample>,
    analytics: Vec<AnalyticsEvent>,
    answers: Vec<KeptAnswer>,
    held_keys: BTreeSet<(UserId, String)>,
    recorded: Recorded,
    /// The latest moment that anybody has told of: there is no clock here.
    latest: Option<OffsetDateTime>,
    outage: Option<Outage>,
}

/// How the fake fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// As if the database were down.
    Unavailable,
    /// As if it were too slow.
    Timeout,
    /// As if a statement failed.
    Internal,
}

/// The ports over plain vectors. Clones share their content.
#[derive(Debug, Clone, Default)]
pub struct MemStore(Arc<Mutex<State>>);

impl MemStore {
    /// Adds an account without an address and a password, as imports do. The figures of the profile are
    /// not taken over but counted.
    pub fn add_user(&self, profile: Profile) {
        self.state().users.push(UserRow::imported(profile));
    }

    /// Gives an account what its owner signs in with.
    ///
    /// # Panics
    /// If there is no such account.
    pub fn set_credentials(&self, user: UserId, email: Email, password_hash: SecretString) {
        let mut state = self.state();
        let row = state
            .user_mut(user)
            .expect("a test names an account that is there");
        row.email = Some(email);
        row.password_hash = Some(password_hash);
    }

    /// Locks an account, as an operator does.
    pub fn lock_user(&self, user: UserId) {
        if let Some(row) = self.state().user_mut(user) {
            row.locked = true;
        }
    }

    /// Removes an account; its name and its address stay taken.
    pub fn delete_user(&self, user: UserId) {
        if let Some(row) = self.state().user_mut(user) {
            row.deleted = true;
        }
    }

    /// Adds a pitch of which only the public part matters.
    pub fn add_pitch(&self, pitch: StoredPitch) {
        self.state().pitches.push(pitch.into());
    }

    /// Adds a pitch, whole.
    pub fn add_full_pitch(&self, pitch: Pitch) {
        self.state().pitches.push(PitchRow::new(pitch));
    }

    /// From now on a request with this idempotency key is being worked on, for ever.
    pub fn hold_key(&self, user: UserId, key: &str) {
        self.state().held_keys.insert((user, key.to_owned()));
    }

    /// From now on every call fails like this, or works again.
    pub fn set_outage(&self, outage: Option<Outage>) {
        self.state().outage = outage;
    }

    /// What the changes up to now have brought about.
    pub fn effects(&self) -> Recorded {
        let state = self.state();
        Recorded {
            notifications: state.notifications.clone(),
            ..state.recorded.clone()
        }
    }

    /// The measurements that were kept.
    pub fn rum_samples(&self) -> Vec<RumSample> {
        self.state().rum.clone()
    }

    /// The events that were kept.
    pub fn analytics_events(&self) -> Vec<AnalyticsEvent> {
        self.state().analytics.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn up(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state();
        match state.outage {
            None => Ok(state),
            Some(Outage::Unavailable) => Err(StoreError::Unavailable("an outage in a test".into())),
            Some(Outage::Timeout) => Err(StoreError::Timeout("an outage in a test".into())),
            Some(Outage::Internal) => Err(StoreError::Internal("an outage in a test".into())),
        }
    }

    /// The state, for a change at `now`, and that moment as it is kept: in microseconds, as PostgreSQL does.
    fn change(
        &self,
        now: OffsetDateTime,
    ) -> Result<(MutexGuard<'_, State>, OffsetDateTime), StoreError> {
        let mut state = self.up()?;
        let now = micros(now);
        state.latest = state.latest.max(Some(now));
        Ok((state, now))
    }
}

fn micros(at: OffsetDateTime) -> OffsetDateTime {
    at.truncate_to_microsecond()
}

fn count(items: usize) -> i64 {
    items.try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
