//! Accounts and their sessions.

use crate::PgStore;
use crate::accounts::{end_all_but, ended_all, ended_one};
use crate::effects::Made;
use crate::rows::word;
use crate::tx::{Abort, Tx};
use pitchey_model::event::{Audit, Effects, Tag};
use pitchey_model::{Email, Role, SessionId, UserId, Username};
use pitchey_store::StoreError;
use pitchey_store::accounts::{NewAccount, Origin, Taken};
use time::OffsetDateTime;
use uuid::Uuid;

/// An account, deleted ones included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// The account.
    pub id: UserId,
    /// Its name in addresses.
    pub username: Username,
    /// What its owner signs in with; imported accounts have none.
    pub email: Option<Email>,
    /// What it is for.
    pub role: Role,
    /// Its name on pages.
    pub display_name: String,
    /// Since when.
    pub created_at: OffsetDateTime,
    /// The last change.
    pub updated_at: OffsetDateTime,
    /// Since when it is locked.
    pub locked_at: Option<OffsetDateTime>,
    /// Since when it is deleted.
    pub deleted_at: Option<OffsetDateTime>,
    /// Goes up with every change that others see.
    pub version: i64,
}

/// An account with its figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDetails {
    /// The account.
    pub user: UserRecord,
    /// Whether its owner can sign in with a password at all.
    pub has_password: bool,
    /// Live sessions, counted up to 10,000.
    pub sessions: i64,
    /// When one of its sessions was last used, give or take a minute.
    pub last_seen_at: Option<OffsetDateTime>,
    /// Pitches in any state, counted up to 10,000.
    pub pitches: i64,
}

/// Which accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// Of one role.
    pub role: Option<Role>,
    /// Locked ones, or those that are not.
    pub locked: Option<bool>,
    /// With this text in their name, name on pages or address; case does not matter.
    pub text: Option<String>,
}

/// What an operator knows of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserKey {
    id: Option<Uuid>,
    username: Option<Username>,
    email: Option<Email>,
}

impl std::str::FromStr for UserKey {
    type Err = std::convert::Infallible;

    /// An id, a name or an address: what it looks like is what is looked for.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self {
            id: text.parse().ok(),
            username: text.parse().ok(),
            email: text.parse().ok(),
        })
    }
}

/// What came of locking, unlocking or giving a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserChange {
    /// Whether it was otherwise before.
    pub changed: bool,
    /// How many sessions ended with it.
    pub sessions_ended: u64,
}

/// The account from a row of either statement.
macro_rules! user_record {
    ($row:ident) => {
        UserRecord {
            id: $row.id.into(),
            username: word("username", &$row.username)?,
            email: $row
                .email
                .as_deref()
                .map(|email| word("email", email))
                .transpose()?,
            role: word("role", &$row.role)?,
            display_name: $row.display_name,
            created_at: $row.created_at,
            updated_at: $row.updated_at,
            locked_at: $row.locked_at,
            deleted_at: $row.deleted_at,
            version: $row.version,
        }
    };
}

impl PgStore {
    /// Accounts by id downwards, which is the last made first: at most `limit`, right behind `after`. A text
    /// that few have may be looked for in all of them.
    pub async fn list_users(
        &self,
        filter: &UserFilter,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<UserRecord>, StoreError> {
        let (after, limit) = (after.map(|id| id.0), i64::from(limit));
        let role = filter.role.map(Role::as_str);
        let text = filter.text.as_deref().map(str::to_lowercase);
        let rows = self
            .read("users.list", |mut lease| {
                let query = sqlx::query_file!(
                    "../sql/statements/users/list.sql",
                    after,
                    role,
                    filter.locked,
                    text.as_deref(),
                    limit
                );
                async move { query.fetch_all(&mut *lease).await }
            })
            .await?;
        rows.into_iter().map(|row| Ok(user_record!(row))).collect()
    }

    /// The account that an operator means, deleted or not.
    pub async fn find_user(&self, key: &UserKey) -> Result<Option<UserId>, StoreError> {
        let id = self
            .read("users.find", |mut lease| {
                let query = sqlx::query_file_scalar!(
                    "../sql/statements/users/find.sql",
                    key.id,
                    key.username.as_ref().map(Username::as_str),
                    key.email.as_ref().map(Email::as_str)
                );
                async move { query.fetch_optional(&mut *lease).await }
            })
            .await?;
        Ok(id.map(Into::into))
    }

    /// An account with its figures, deleted or not.
    pub async fn show_user(
        &self,
        user: UserId,
        now: OffsetDateTime,
    ) -> Result<Option<UserDetails>, StoreError> {
        let row = self
            .read("users.show", |mut lease| {
                let query = sqlx::query_file!("../sql/statements/users/show.sql", user.0, now);
                async move { query.fetch_optional(&mut *lease).await }
            })
            .await?;
        row.map(|row| {
            let (has_password, sessions, last_seen_at, pitches) = (
                row.has_password,
                row.sessions,
                row.last_seen_at,
                row.pitches,
            );
            Ok(UserDetails {
                user: user_record!(row),
                has_password,
                sessions,
                last_seen_at,
                pitches,
            })
        })
        .transpose()
    }

    /// Makes an account that nobody registered, as an administrator's.
    pub async fn create_account(
        &self,
        account: &NewAccount,
        operator: &str,
        now: OffsetDateTime,
    ) -> Result<Result<(), Taken>, StoreError> {
        let made = Made {
            by: None,
            origin: &Origin::default(),
            at: now,
        };
        let detail = vec![("operator", operator.to_owned())];
        self.add_account(account, None, made, detail).await
    }

    /// Locks an account and ends its sessions. `None` if there is no such account.
    pub async fn lock_user(
        &self,
        user: UserId,
        operator: &str,
        reason: &str,
        now: OffsetDateTime,
    ) -> Result<Option<UserChange>, StoreError> {
        self.change_user("operate.lock", user, operator, now, Change::Lock(reason))
            .await
    }

    /// Unlocks an account. `None` if there is no such account.
    pub async fn unlock_user(
        &self,
        user: UserId,
        operator: &str,
        now: OffsetDateTime,
    ) -> Result<Option<UserChange>, StoreError> {
        self.change_user("operate.unlock", user, operator, now, Change::Unlock)
            .await
    }

    /// Gives an account a role and ends its sessions, which were opened for another. `None` if there is no
    /// such account.
    pub async fn set_role(
        &self,
        user: UserId,
        role: Role,
        operator: &str,
        now: OffsetDateTime,
    ) -> Result<Option<UserChange>, StoreError> {
        self.change_user("operate.role", user, operator, now, Change::Role(role))
            .await
    }

    async fn change_user(
        &self,
        name: &'static str,
        user: UserId,
        operator: &str,
        now: OffsetDateTime,
        change: Change<'_>,
    ) -> Result<Option<UserChange>, StoreError> {
        self.run_write(name, |mut tx| async move {
            let row = sqlx::query_file!("../sql/statements/users/lock.sql", user.0)
                .fetch_optional(&mut *tx)
                .await?;
            let Some(row) = row else {
                return Ok((tx, None));
            };
            let role: Role = word("role", &row.role)?;
            let same = match change {
                Change::Lock(_) => row.locked_at.is_some(),
                Change::Unlock => row.locked_at.is_none(),
                Change::Role(new) => new == role,
            };
            if same {
                let nothing = UserChange {
                    changed: false,
                    sessions_ended: 0,
                };
                return Ok((tx, Some(nothing)));
            }
            let mut effects = Effects::default();
            let ended = change.apply(&mut tx, user, now).await?;
            ended_all(&mut effects, user, &ended);
            let mut detail = vec![("operator", operator.to_owned())];
            match change {
                Change::Lock(reason) => detail.push(("reason", reason.to_owned())),
                Change::Unlock => {}
                Change::Role(new) => {
                    // A profile tells what its account is for.
                    effects.tags.insert(Tag::user(user));
                    detail.push(("from", role.to_string()));
                    detail.push(("to", new.to_string()));
                }
            }
            effects.audit.push(Audit {
                action: change.action(),
                subject_kind: "user",
                subject_id: user.0,
                detail,
            });
            self.write_operated(&mut tx, &effects, now).await?;
            let done = UserChange {
                changed: true,
                sessions_ended: ended.len() as u64,
            };
            Ok((tx, Some(done)))
        })
        .await
    }

    /// Ends a session; whose it was, or `None` if there is no such live one.
    pub async fn revoke_session(
        &self,
        session: SessionId,
        operator: &str,
        now: OffsetDateTime,
    ) -> Result<Option<UserId>, StoreError> {
        self.run_write("operate.revoke_session", |mut tx| async move {
            let user =
                sqlx::query_file_scalar!("../sql/statements/sessions/end.sql", session.0, now)
                    .fetch_optional(&mut *tx)
                    .await?;
            let Some(user) = user.map(UserId) else {
                return Ok((tx, None));
            };
            let mut effects = Effects::default();
            ended_one(&mut effects, user, session);
            effects.audit.push(Audit {
                action: "session.end",
                subject_kind: "session",
                subject_id: session.0,
                detail: vec![("operator", operator.to_owned())],
            });
            self.write_operated(&mut tx, &effects, now).await?;
            Ok((tx, Some(user)))
        })
        .await
    }

    /// Ends every session of an account; how many there were.
    pub async fn revoke_sessions(
        &self,
        user: UserId,
        operator: &str,
        now: OffsetDateTime,
    ) -> Result<u64, StoreError> {
        self.run_write("operate.revoke_sessions", |mut tx| async move {
            sqlx::query_file!("../sql/statements/users/lock.sql", user.0)
                .fetch_optional(&mut *tx)
                .await?;
            let ended = end_all_but(&mut tx, user, 0, now).await?;
            if ended.is_empty() {
                return Ok((tx, 0));
            }
            let mut effects = Effects::default();
            ended_all(&mut effects, user, &ended);
            effects.audit.push(Audit {
                action: "session.end_all",
                subject_kind: "user",
                subject_id: user.0,
                detail: vec![
                    ("sessions_ended", ended.len().to_string()),
                    ("operator", operator.to_owned()),
                ],
            });
            self.write_operated(&mut tx, &effects, now).await?;
            Ok((tx, ended.len() as u64))
        })
        .await
    }
}

/// What an operator does to an account.
#[derive(Debug, Clone, Copy)]
enum Change<'a> {
    /// Why.
    Lock(&'a str),
    Unlock,
    Role(Role),
}

impl Change<'_> {
    const fn action(self) -> &'static str {
        match self {
            Self::Lock(_) => "account.lock",
            Self::Unlock => "account.unlock",
            Self::Role(_) => "account.role",
        }
    }

    /// Does it, and gives the sessions that ended with it.
    async fn apply(
        self,
        tx: &mut Tx,
        user: UserId,
        now: OffsetDateTime,
    ) -> Result<Vec<SessionId>, Abort> {
        match self {
            Self::Lock(_) | Self::Unlock => {
                let since = matches!(self, Self::Lock(_)).then_some(now);
                sqlx::query_file!("../sql/statements/users/set_locked.sql", user.0, since, now)
                    .execute(&mut **tx)
                    .await?;
            }
            Self::Role(role) => {
                sqlx::query_file!(
                    "../sql/statements/users/set_role.sql",
                    user.0,
                    role.as_str(),
                    now
                )
                .execute(&mut **tx)
                .await?;
            }
        }
        match self {
            Self::Lock(_) | Self::Role(_) => end_all_but(tx, user, 0, now).await,
            Self::Unlock => Ok(Vec::new()),
        }
    }
}
