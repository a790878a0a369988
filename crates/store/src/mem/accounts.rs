//! The port for accounts and sessions; the work is done in the files of the two.

use super::effects::Made;
use super::sessions::{SessionRow, all_ended};
use super::users::{UserRow, about};
use super::{MemStore, micros};
use crate::StoreError;
use crate::accounts::{
    Accounts, Credentials, NewAccount, NewSession, Operation, Origin, Proof, Rehash, Session,
    Taken, TokenHash,
};
use crate::market::Outcome;
use pitchey_model::decide::Expected;
use pitchey_model::event::{Effects, Event, Tag};
use pitchey_model::{Account, Actor, Email, ProfileChange, SessionId, SessionInfo, UserId};
use time::OffsetDateTime;
use uuid::Uuid;

impl Accounts for MemStore {
    async fn register(
        &self,
        account: NewAccount,
        session: Option<NewSession>,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Result<Result<(), Taken>, StoreError> {
        let (mut state, at) = self.change(now)?;
        let by = account.id;
        Ok(state.register(account, session, Made { by, origin, at }))
    }

    async fn note_operation(
        &self,
        operator: UserId,
        operation: Operation,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let (mut state, at) = self.change(now)?;
        let mut effects = about(operation.action, operation.subject_kind, Uuid::nil());
        for entry in &mut effects.audit {
            entry.detail.clone_from(&operation.detail);
        }
        let by = operator;
        state.record(effects, Made { by, origin, at });
        Ok(())
    }

    async fn credentials(&self, email: &Email) -> Result<Option<Credentials>, StoreError> {
        let state = self.up()?;
        let mut users = state.users.iter().filter(|row| !row.deleted);
        let found = users.find(|row| row.email.as_ref() == Some(email));
        Ok(found.map(UserRow::credentials))
    }

    async fn credentials_of(&self, user: UserId) -> Result<Option<Credentials>, StoreError> {
        Ok(self.up()?.user(user).map(UserRow::credentials))
    }

    async fn open_session(
        &self,
        user: UserId,
        session: NewSession,
        replaces: Option<TokenHash>,
        proof: Option<Proof>,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let (mut state, at) = self.change(now)?;
        let by = user;
        let made = Made { by, origin, at };
        Ok(state.open_session(user, session, replaces, proof, made))
    }

    async fn session(
        &self,
        token: &TokenHash,
        now: OffsetDateTime,
    ) -> Result<Option<Session>, StoreError> {
        Ok(self.up()?.session(token, micros(now)))
    }

    async fn touch_session(
        &self,
        id: SessionId,
        idle_expires_at: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let (mut state, now) = self.change(now)?;
        let mut sessions = state.sessions.iter_mut();
        if let Some(row) = sessions.find(|row| row.info.id == id && row.is_live(now)) {
            // Several origins may say so in any order: neither time goes back.
            let info = &mut row.info;
            info.last_seen_at = info.last_seen_at.max(now);
            info.idle_expires_at = micros(idle_expires_at)
                .max(info.idle_expires_at)
                .min(info.expires_at);
        }
        Ok(())
    }

    async fn sessions(
        &self,
        user: UserId,
        now: OffsetDateTime,
    ) -> Result<Vec<SessionInfo>, StoreError> {
        Ok(self.up()?.sessions(user, micros(now)))
    }

    async fn end_session(
        &self,
        user: UserId,
        session: SessionId,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let (mut state, at) = self.change(now)?;
        let ended = !state.end(user, Some(session), at).is_empty();
        if ended {
            let effects = Effects {
                tags: [Tag::session(session)].into(),
                events: vec![Event::SessionEnded {
                    user_id: user,
                    session_id: Some(session),
                }],
                ..about("session.end", "session", session.0)
            };
            let by = user;
            state.record(effects, Made { by, origin, at });
        }
        Ok(ended)
    }

    async fn end_sessions(
        &self,
        user: UserId,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Result<u64, StoreError> {
        let (mut state, at) = self.change(now)?;
        let ended = state.end(user, None, at);
        let effects = all_ended("session.end_all", user, &ended);
        let by = user;
        state.record(effects, Made { by, origin, at });
        Ok(ended.len() as u64)
    }

    async fn change_password(
        &self,
        user: UserId,
        rehash: Rehash,
        session: NewSession,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let (mut state, at) = self.change(now)?;
        if !state.rehash(user, rehash, at) {
            return Ok(false);
        }
        let ended = state.end(user, None, at);
        let row = SessionRow::new(user, session, origin.ip, at);
        state.sessions.push(row);
        let effects = all_ended("account.password", user, &ended);
        let by = user;
        state.record(effects, Made { by, origin, at });
        Ok(true)
    }

    async fn account(&self, user: UserId) -> Result<Option<Account>, StoreError> {
        Ok(self.up()?.user(user).map(UserRow::account))
    }

    async fn change_profile(
        &self,
        actor: &Actor,
        expected: &Expected,
        change: ProfileChange,
        now: OffsetDateTime,
    ) -> Outcome<Account> {
        let (mut state, now) = self.change(now)?;
        Ok(state.change_profile(actor, expected, change, now))
    }
}
