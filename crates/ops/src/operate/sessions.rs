//! `pitchey sessions`: who is signed in.

use super::{By, Desk, Who, counted, moment};
use crate::output::Output;
use crate::table::Table;
use anyhow::Context as _;
use clap::Subcommand;
use pitchey_model::{SessionId, SessionInfo, UserId};
use pitchey_store::Accounts as _;
use serde::Serialize;
use std::net::IpAddr;
use time::OffsetDateTime;
use uuid::Uuid;

/// What can be done about sessions.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the live sessions of an account, newest first, at most 100.
    List {
        /// A username, an e-mail address or an id.
        who: Who,
    },
    /// End a session, or all of an account.
    Revoke {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        by: By,
    },
}

// Which sessions.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Which {
    /// The session.
    id: Option<Uuid>,
    /// All sessions of this account: a username, an e-mail address or an id.
    #[arg(long, value_name = "WHO")]
    all: Option<Who>,
}

/// A session.
#[derive(Debug, Serialize)]
struct Session {
    id: SessionId,
    user_agent: String,
    ip: Option<IpAddr>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    last_seen_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    idle_expires_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

impl From<SessionInfo> for Session {
    fn from(session: SessionInfo) -> Self {
        Self {
            id: session.id,
            user_agent: session.user_agent,
            ip: session.ip,
            created_at: session.created_at,
            last_seen_at: session.last_seen_at,
            idle_expires_at: session.idle_expires_at,
            expires_at: session.expires_at,
        }
    }
}

/// The live sessions of an account.
#[derive(Debug, Serialize)]
struct Sessions {
    user: UserId,
    sessions: Vec<Session>,
}

/// What came of ending sessions.
#[derive(Debug, Serialize)]
struct Revoked {
    user: UserId,
    sessions_ended: u64,
}

pub(crate) async fn run(
    command: Command,
    desk: &Desk,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    let (store, now) = (&desk.store, desk.now());
    match command {
        Command::List { who } => {
            let user = desk.user(&who).await?.id;
            let sessions = store.sessions(user, now).await?;
            let sessions = Sessions {
                user,
                sessions: sessions.into_iter().map(Session::from).collect(),
            };
            output.show(&sessions, || sessions.to_text())
        }
        Command::Revoke { which, by } => {
            let revoked = match (which.id, which.all) {
                (Some(id), _) => {
                    let user = store.revoke_session(SessionId(id), &by.operator, now);
                    Revoked {
                        user: user
                            .await?
                            .with_context(|| format!("there is no live session {id}"))?,
                        sessions_ended: 1,
                    }
                }
                (None, Some(who)) => {
                    let user = desk.user(&who).await?.id;
                    let ended = store.revoke_sessions(user, &by.operator, now);
                    Revoked {
                        user,
                        sessions_ended: ended.await?,
                    }
                }
                (None, None) => anyhow::bail!("no session is named"),
            };
            output.show(&revoked, || {
                let ended = counted(revoked.sessions_ended, "session");
                format!("{ended} of the account {} ended\n", revoked.user)
            })
        }
    }
}

impl Sessions {
    fn to_text(&self) -> String {
        let mut table = Table::new(&["id", "opened", "last seen", "ends unused", "from", "with"]);
        for session in &self.sessions {
            table.row([
                session.id.to_string(),
                moment(session.created_at),
                moment(session.last_seen_at),
                moment(session.idle_expires_at),
                session
                    .ip
                    .map_or_else(|| "–".to_owned(), |ip| ip.to_string()),
                session.user_agent.clone(),
            ]);
        }
        table.to_text()
    }
}
