//! `pitchey users`: accounts.

use super::{Because, By, Desk, Who, counted, line, moment, moment_or_dash};
use crate::output::Output;
use crate::table::{Table, fields};
use anyhow::Context as _;
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use pitchey_model::{Role, UserId, Username};
use pitchey_store_pg::operate::{UserChange, UserDetails, UserFilter, UserRecord};
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

/// What can be done about accounts.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List accounts, the last made first.
    List(List),
    /// Show an account with its figures.
    Show {
        /// A username, an e-mail address or an id.
        who: Who,
    },
    /// Lock an account: its sessions end, and nobody signs in to it.
    Lock {
        /// A username, an e-mail address or an id.
        who: Who,
        #[command(flatten)]
        because: Because,
        #[command(flatten)]
        by: By,
    },
    /// Unlock an account.
    Unlock {
        /// A username, an e-mail address or an id.
        who: Who,
        #[command(flatten)]
        by: By,
    },
    /// Give an account another role. Its sessions end.
    Role {
        /// A username, an e-mail address or an id.
        who: Who,
        /// What it is for from now on.
        #[arg(value_parser = role())]
        role: Role,
        #[command(flatten)]
        by: By,
    },
}

/// Which accounts.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct List {
    /// Only of this role.
    #[arg(long, value_parser = role())]
    role: Option<Role>,
    /// Only locked ones.
    #[arg(long, conflicts_with = "unlocked")]
    locked: bool,
    /// Only those that are not locked.
    #[arg(long)]
    unlocked: bool,
    /// Only with this text in their username, address or name on pages; case does not matter.
    #[arg(long, value_name = "TEXT", value_parser = line::<200>)]
    search: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Only those behind this one, which the list before ended with.
    #[arg(long, value_name = "ID")]
    after: Option<Uuid>,
}

fn role() -> impl TypedValueParser<Value = Role> {
    let words = Role::ALL.iter().map(|role| role.as_str());
    PossibleValuesParser::new(words).try_map(|word| word.parse())
}

/// An account.
#[derive(Debug, Serialize)]
struct User {
    id: UserId,
    username: Username,
    email: Option<String>,
    role: Role,
    display_name: String,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    locked_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    deleted_at: Option<OffsetDateTime>,
    version: i64,
}

impl From<UserRecord> for User {
    fn from(user: UserRecord) -> Self {
        Self {
            id: user.id,
            username: user.username,
            email: user.email.map(|email| email.to_string()),
            role: user.role,
            display_name: user.display_name,
            created_at: user.created_at,
            updated_at: user.updated_at,
            locked_at: user.locked_at,
            deleted_at: user.deleted_at,
            version: user.version,
        }
    }
}

impl User {
    fn state(&self) -> &'static str {
        match (self.deleted_at, self.locked_at) {
            (Some(_), _) => "deleted",
            (None, Some(_)) => "locked",
            (None, None) => "active",
        }
    }

    fn email(&self) -> String {
        self.email.clone().unwrap_or_else(|| "–".to_owned())
    }
}

/// A page of accounts.
#[derive(Debug, Serialize)]
struct Page {
    users: Vec<User>,
    /// What the next one is asked for with, if there is one.
    next: Option<UserId>,
}

/// An account with its figures.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    user: User,
    has_password: bool,
    sessions: i64,
    #[serde(with = "time::serde::rfc3339::option")]
    last_seen_at: Option<OffsetDateTime>,
    pitches: i64,
}

/// What came of a change.
#[derive(Debug, Serialize)]
struct Done {
    id: UserId,
    username: Username,
    /// Whether it was otherwise before.
    changed: bool,
    sessions_ended: u64,
}

pub(crate) async fn run(
    command: Command,
    desk: &Desk,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    let (store, now) = (&desk.store, desk.now());
    match command {
        Command::List(list) => {
            let page = page(desk, list).await?;
            output.show(&page, || page.to_text())
        }
        Command::Show { who } => {
            let id = desk.user(&who).await?.id;
            let details = store.show_user(id, now).await?;
            let shown = Shown::from(details.with_context(|| gone(&who))?);
            output.show(&shown, || shown.to_text())
        }
        Command::Lock { who, because, by } => {
            let user = desk.user(&who).await?;
            let change = store.lock_user(user.id, &by.operator, &because.reason, now);
            let change = change.await?.with_context(|| gone(&who))?;
            show_change(user, change, "locked", output)
        }
        Command::Unlock { who, by } => {
            let user = desk.user(&who).await?;
            let change = store.unlock_user(user.id, &by.operator, now);
            let change = change.await?.with_context(|| gone(&who))?;
            show_change(user, change, "unlocked", output)
        }
        Command::Role { who, role, by } => {
            let user = desk.user(&who).await?;
            let change = store.set_role(user.id, role, &by.operator, now);
            let change = change.await?.with_context(|| gone(&who))?;
            show_change(user, change, role.as_str(), output)
        }
    }
}

fn gone(who: &Who) -> String {
    format!("the account {} is deleted", who.text)
}

async fn page(desk: &Desk, list: List) -> anyhow::Result<Page> {
    let filter = UserFilter {
        role: list.role,
        locked: (list.locked || list.unlocked).then_some(list.locked),
        text: list.search,
    };
    // One more than asked for tells whether there is more.
    let after = list.after.map(UserId);
    let mut users = desk
        .store
        .list_users(&filter, after, list.limit + 1)
        .await?;
    let more = users.len() > list.limit as usize;
    users.truncate(list.limit as usize);
    let last = users.last().map(|user| user.id);
    Ok(Page {
        users: users.into_iter().map(User::from).collect(),
        next: last.filter(|_| more),
    })
}

fn show_change(
    user: UserRecord,
    change: UserChange,
    word: &str,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    let done = Done {
        id: user.id,
        username: user.username,
        changed: change.changed,
        sessions_ended: change.sessions_ended,
    };
    output.show(&done, || {
        let username = done.username.as_str();
        if !done.changed {
            return format!("{username} is {word} already: nothing is changed\n");
        }
        let ended = counted(done.sessions_ended, "session");
        format!("{username} is {word} now; {ended} ended\n")
    })
}

impl Page {
    fn to_text(&self) -> String {
        let mut table = Table::new(&["username", "role", "state", "made", "email", "name", "id"]);
        for user in &self.users {
            table.row([
                user.username.as_str().to_owned(),
                user.role.to_string(),
                user.state().to_owned(),
                moment(user.created_at),
                user.email(),
                user.display_name.clone(),
                user.id.to_string(),
            ]);
        }
        let more = self
            .next
            .map(|id| format!("there are more: --after {id}\n"));
        table.to_text() + &more.unwrap_or_default()
    }
}

impl From<UserDetails> for Shown {
    fn from(details: UserDetails) -> Self {
        Self {
            user: details.user.into(),
            has_password: details.has_password,
            sessions: details.sessions,
            last_seen_at: details.last_seen_at,
            pitches: details.pitches,
        }
    }
}

impl Shown {
    fn to_text(&self) -> String {
        let user = &self.user;
        let password = if self.has_password { "yes" } else { "no" };
        fields(&[
            ("id", user.id.to_string()),
            ("username", user.username.as_str().to_owned()),
            ("name", user.display_name.clone()),
            ("email", user.email()),
            ("role", user.role.to_string()),
            ("state", user.state().to_owned()),
            ("made", moment(user.created_at)),
            ("changed", moment(user.updated_at)),
            ("locked", moment_or_dash(user.locked_at)),
            ("deleted", moment_or_dash(user.deleted_at)),
            ("version", user.version.to_string()),
            ("password", password.to_owned()),
            ("sessions", self.sessions.to_string()),
            ("last seen", moment_or_dash(self.last_seen_at)),
            ("pitches", self.pitches.to_string()),
        ])
    }
}
