//! What operators do to accounts, sessions, pitches and the outbox, and read of the audit log.

mod admin;
mod audit;
mod outbox;
mod pitches;
mod sessions;
mod users;

use crate::Database;
use crate::output::Output;
use anyhow::Context as _;
use clap::Subcommand;
use pitchey_model::text;
use pitchey_runtime::{Clock as _, SystemRuntime};
use pitchey_store_pg::PgStore;
use pitchey_store_pg::operate::{UserKey, UserRecord};
use std::convert::Infallible;
use std::io::Write;
use std::process::ExitCode;
use std::str::FromStr;
use time::OffsetDateTime;
use time::macros::format_description;

/// What operators do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make administrators.
    Admin(Group<admin::Command>),
    /// Look after accounts.
    Users(Group<users::Command>),
    /// See who is signed in, and end it.
    Sessions(Group<sessions::Command>),
    /// Look after pitches.
    Pitches(Group<pitches::Command>),
    /// See how far deliveries to caches and listeners are behind, and deliver once more.
    Outbox(Group<outbox::Command>),
    /// Read who did what.
    Audit(Group<audit::Command>),
}

// Some commands, and the shape of what they print. No doc comment: it would be the help of all of them.
#[derive(Debug, clap::Args)]
pub(crate) struct Group<C: Subcommand> {
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: C,
}

// Who makes a change.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct By {
    /// Who makes the change, for the audit log.
    #[arg(long, env = "USER", hide_env_values = true, value_name = "NAME", value_parser = line::<100>)]
    operator: String,
}

// Why a change is made.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Because {
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT", value_parser = line::<500>)]
    reason: String,
}

/// A line of text that says something, in at most so many characters.
pub(crate) fn line<const MAX: usize>(raw: &str) -> Result<String, String> {
    text::required_line(raw, MAX).map_err(|error| error.to_string())
}

/// An account, as an operator names it: by username, e-mail address or id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    text: String,
    key: UserKey,
}

impl FromStr for Who {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self {
            text: text.to_owned(),
            key: text.parse()?,
        })
    }
}

/// Where operators work: the database and the time.
struct Desk {
    store: PgStore,
    runtime: SystemRuntime,
}

impl Desk {
    fn now(&self) -> OffsetDateTime {
        self.runtime.wall()
    }

    /// The account that is meant, deleted or not.
    async fn user(&self, who: &Who) -> anyhow::Result<UserRecord> {
        let found = match self.store.find_user(&who.key).await? {
            Some(id) => self.store.show_user(id, self.now()).await?,
            None => None,
        };
        let details = found.with_context(|| format!("there is no account {}", who.text))?;
        Ok(details.user)
    }
}

pub(crate) async fn run(
    command: Command,
    database: &Database,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<ExitCode> {
    let desk = Desk {
        store: database.connect()?,
        runtime: SystemRuntime::new(),
    };
    let done = match command {
        Command::Admin(group) => {
            admin::run(group.command, &desk, &mut Output::new(group.json, out)).await
        }
        Command::Users(group) => {
            users::run(group.command, &desk, &mut Output::new(group.json, out)).await
        }
        Command::Sessions(group) => {
            sessions::run(group.command, &desk, &mut Output::new(group.json, out)).await
        }
        Command::Pitches(group) => {
            pitches::run(group.command, &desk, &mut Output::new(group.json, out)).await
        }
        Command::Outbox(group) => {
            outbox::run(group.command, &desk, &mut Output::new(group.json, out)).await
        }
        Command::Audit(group) => {
            audit::run(group.command, &desk, &mut Output::new(group.json, out)).await
        }
    };
    desk.store.close().await;
    done?;
    Ok(ExitCode::SUCCESS)
}

/// A moment to the second.
fn moment(time: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    let time = time.to_offset(time::UtcOffset::UTC);
    time.format(format).unwrap_or_else(|_| time.to_string())
}

/// A moment that may not have come.
fn moment_or_dash(time: Option<OffsetDateTime>) -> String {
    time.map_or_else(|| "–".to_owned(), moment)
}

/// `1 session`, `2 sessions`.
fn counted(count: u64, thing: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {thing}{s}", crate::figures::grouped(count))
}

#[cfg(test)]
mod tests;
