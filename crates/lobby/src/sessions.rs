//! The end of a session, as the origin tells it, and whose connections end with it.

use pitchey_model::ticket::{LIFETIME, Ticket};
use pitchey_model::{SessionId, UserId};
use serde::{Deserialize, Serialize};

/// The end of one session of an account, or of all.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct EndedSession {
    /// The account.
    pub user_id: UserId,
    /// All of its sessions, if it names none.
    pub session_id: Option<SessionId>,
}

impl EndedSession {
    /// Whether a ticket is of that session.
    pub fn is_of(&self, ticket: &Ticket) -> bool {
        ticket.holder.is_some_and(|holder| {
            let meant = self.session_id.is_none_or(|ended| holder.session == ended);
            holder.user == self.user_id && meant
        })
    }

    /// Whether it ends the connection that a ticket has let in, when it was told at `told_at_ms`,
    /// milliseconds after 1970. Who has signed in again since is not meant.
    pub fn ends(&self, ticket: &Ticket, told_at_ms: u64) -> bool {
        let began = ticket.expires_at - LIFETIME.whole_seconds();
        let told = i64::try_from(told_at_ms / 1000).unwrap_or(i64::MAX);
        self.is_of(ticket) && began <= told
    }
}
