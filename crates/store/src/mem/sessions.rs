//! Sessions.

use super::effects::Made;
use super::users::about;
use super::{State, micros};
use crate::accounts::{NewSession, Proof, Rehash, Session, TokenHash};
use pitchey_model::event::{Effects, Event, Tag};
use pitchey_model::{Actor, SessionId, SessionInfo, UserId};
use std::net::IpAddr;
use time::OffsetDateTime;

/// The most sessions that are listed.
const MAX_SESSIONS: usize = 100;

#[derive(Debug, Clone)]
pub(super) struct SessionRow {
    user: UserId,
    token_hash: TokenHash,
    pub(super) info: SessionInfo,
    ended: bool,
}

impl SessionRow {
    pub(super) fn new(
        user: UserId,
        new: NewSession,
        ip: Option<IpAddr>,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            user,
            token_hash: new.token_hash,
            info: SessionInfo {
                id: new.id,
                user_agent: new.user_agent,
                ip,
                created_at: now,
                last_seen_at: now,
                idle_expires_at: micros(new.idle_expires_at),
                expires_at: micros(new.expires_at),
            },
            ended: false,
        }
    }

    pub(super) fn is_live(&self, now: OffsetDateTime) -> bool {
        !self.ended && now < self.info.idle_expires_at && now < self.info.expires_at
    }
}

impl State {
    pub(super) fn open_session(
        &mut self,
        user: UserId,
        session: NewSession,
        replaces: Option<TokenHash>,
        proof: Option<Proof>,
        made: Made<'_>,
    ) -> bool {
        let account = self.user(user).filter(|account| !account.locked);
        let holds = account.is_some_and(|account| {
            let proven = proof.as_ref();
            proven.is_none_or(|proof| account.has_password(&proof.hash))
        });
        if !holds {
            return false;
        }
        if let Some(Proof {
            hash,
            fresher: Some(new),
        }) = proof
        {
            self.rehash(user, Rehash { old: hash, new }, made.at);
        }
        let mut effects = about("session.open", "session", session.id.0);
        let old = self
            .sessions
            .iter_mut()
            .find(|row| Some(row.token_hash) == replaces && row.is_live(made.at));
        if let Some(old) = old {
            old.ended = true;
            effects.tags.insert(Tag::session(old.info.id));
            effects.events.push(Event::SessionEnded {
                user_id: old.user,
                session_id: Some(old.info.id),
            });
        }
        let row = SessionRow::new(user, session, made.origin.ip, made.at);
        self.sessions.push(row);
        self.record(effects, made);
        true
    }

    pub(super) fn session(&self, token: &TokenHash, now: OffsetDateTime) -> Option<Session> {
        let row = self
            .sessions
            .iter()
            .find(|row| row.token_hash == *token && row.is_live(now))?;
        let user = self.user(row.user).filter(|user| !user.locked)?;
        Some(Session {
            actor: Actor {
                id: user.profile.id,
                username: user.profile.username.clone(),
                display_name: user.profile.display_name.clone(),
                role: user.profile.role,
                session: row.info.id,
            },
            last_seen_at: row.info.last_seen_at,
            idle_expires_at: row.info.idle_expires_at,
            expires_at: row.info.expires_at,
        })
    }

    pub(super) fn sessions(&self, user: UserId, now: OffsetDateTime) -> Vec<SessionInfo> {
        let own = self.sessions.iter().filter(|row| row.user == user);
        let live = own.filter(|row| row.is_live(now));
        let mut live: Vec<_> = live.map(|row| row.info.clone()).collect();
        live.sort_by_key(|info| std::cmp::Reverse((info.created_at, info.id)));
        live.truncate(MAX_SESSIONS);
        live
    }

    /// Ends the live sessions of an account, one or all: which there were.
    pub(super) fn end(
        &mut self,
        user: UserId,
        session: Option<SessionId>,
        now: OffsetDateTime,
    ) -> Vec<SessionId> {
        let meant = |row: &&mut SessionRow| {
            row.user == user
                && session.is_none_or(|session| session == row.info.id)
                && row.is_live(now)
        };
        let end = |row: &mut SessionRow| {
            row.ended = true;
            row.info.id
        };
        self.sessions.iter_mut().filter(meant).map(end).collect()
    }
}

/// What the end of all sessions of an account brings about.
pub(super) fn all_ended(action: &'static str, user: UserId, ended: &[SessionId]) -> Effects {
    Effects {
        tags: ended.iter().copied().map(Tag::session).collect(),
        events: vec![Event::SessionEnded {
            user_id: user,
            session_id: None,
        }],
        ..about(action, "user", user.0)
    }
}
