//! Accounts and sessions.
//!
//! Whoever changes several sessions of an account holds the account's row first, so that two who do cannot
//! wait for each other.

use crate::PgStore;
use crate::effects::{Made, network};
use crate::rows::{micros, word};
use crate::tx::{Abort, Tx};
use pitchey_model::decide::{Expected, Refusal};
use pitchey_model::event::{Audit, Effects, Event, Tag};
use pitchey_model::{
    Account, Actor, Email, ProfileChange, ProfileText, SessionId, SessionInfo, UserId,
};
use pitchey_store::accounts::{
    Credentials, NewAccount, NewSession, Operation, Origin, Proof, Rehash, Session, Taken,
    TokenHash,
};
use pitchey_store::market::Outcome;
use pitchey_store::{Accounts, StoreError};
use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;
use uuid::Uuid;

/// The most live sessions that an account has: one more ends the oldest.
const MAX_SESSIONS: i64 = 100;

/// The columns of an account that its owner sees.
struct AccountRow {
    id: Uuid,
    username: String,
    email: Option<String>,
    role: String,
    display_name: String,
    bio: String,
    company: String,
    location: String,
    website: Option<String>,
    avatar_media_id: Option<Uuid>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    version: i64,
}

impl TryFrom<AccountRow> for Account {
    type Error = StoreError;

    fn try_from(row: AccountRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.into(),
            username: word("username", &row.username)?,
            email: row
                .email
                .as_deref()
                .map(|email| word("email", email))
                .transpose()?,
            role: word("role", &row.role)?,
            profile: ProfileText {
                display_name: row.display_name,
                bio: row.bio,
                company: row.company,
                location: row.location,
                website: row.website,
            },
            avatar: row.avatar_media_id.map(Into::into),
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        })
    }
}

/// What signing in is checked against, from a row of either statement.
macro_rules! credentials {
    ($row:expr) => {
        $row.map(|row| {
            Ok(Credentials {
                id: row.id.into(),
                username: word("username", &row.username)?,
                display_name: row.display_name,
                role: word("role", &row.role)?,
                password_hash: row.password_hash.map(Into::into),
                locked: row.locked,
            })
        })
        .transpose()
    };
}

impl Accounts for PgStore {
    async fn register(
        &self,
        account: NewAccount,
        session: Option<NewSession>,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Result<Result<(), Taken>, StoreError> {
        // Without a session it is an operator's doing, not that of the account's owner.
        let by = session.is_some().then_some(account.id);
        let made = Made {
            by,
            origin,
            at: now,
        };
        self.add_account(&account, session.as_ref(), made, Vec::new())
            .await
    }

    async fn note_operation(
        &self,
        operator: UserId,
        operation: Operation,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let operation = &operation;
        self.run_write("audit.add", |mut tx| async move {
            let Operation {
                action,
                subject_kind,
                detail,
            } = operation;
            let made = by_owner(operator, origin, now);
            self.write_audit(&mut tx, action, (subject_kind, None), detail, made)
                .await?;
            Ok((tx, ()))
        })
        .await
    }

    async fn credentials(&self, email: &Email) -> Result<Option<Credentials>, StoreError> {
        let row = self
            .read("users.by_email", |mut lease| {
                let query =
                    sqlx::query_file!("../sql/statements/users/by_email.sql", email.as_str());
                async move { query.fetch_optional(&mut *lease).await }
            })
            .await?;
        credentials!(row)
    }

    async fn credentials_of(&self, user: UserId) -> Result<Option<Credentials>, StoreError> {
        let row = self
            .read("users.credentials", |mut lease| {
                let query = sqlx::query_file!("../sql/statements/users/credentials.sql", user.0);
                async move { query.fetch_optional(&mut *lease).await }
            })
            .await?;
        credentials!(row)
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
        let (session, replaces, proof) = (&session, replaces.as_ref(), proof.as_ref());
        self.run_write("sessions.open", |mut tx| async move {
            let account = lock_user(&mut tx, user).await?;
            let holds = account.is_some_and(|account| {
                !account.locked && proof.is_none_or(|proof| account.has_password(&proof.hash))
            });
            if !holds {
                return Ok((tx, false));
            }
            let mut effects = Effects::default();
            if let Some(token) = replaces {
                let ended = sqlx::query_file!(
                    "../sql/statements/sessions/end_by_token.sql",
                    &token[..],
                    now
                )
                .fetch_optional(&mut *tx)
                .await?;
                if let Some(ended) = ended {
                    ended_one(&mut effects, ended.user_id.into(), ended.id.into());
                }
            }
            for id in end_all_but(&mut tx, user, MAX_SESSIONS - 1, now).await? {
                ended_one(&mut effects, user, id);
            }
            if let Some(Proof {
                hash,
                fresher: Some(fresher),
            }) = proof
            {
                set_password(&mut tx, user, hash, fresher, now).await?;
            }
            insert_session(&mut tx, user, session, origin, now).await?;
            effects.audit.push(Audit {
                action: "session.open",
                subject_kind: "session",
                subject_id: session.id.0,
                detail: Vec::new(),
            });
            let made = by_owner(user, origin, now);
            self.write_effects(&mut tx, &effects, made).await?;
            Ok((tx, true))
        })
        .await
    }

    async fn session(
        &self,
        token: &TokenHash,
        now: OffsetDateTime,
    ) -> Result<Option<Session>, StoreError> {
        let row = self
            .read("sessions.by_token", |mut lease| {
                let query =
                    sqlx::query_file!("../sql/statements/sessions/by_token.sql", &token[..], now);
                async move { query.fetch_optional(&mut *lease).await }
            })
            .await?;
        row.map(|row| {
            Ok(Session {
                actor: Actor {
                    id: row.user_id.into(),
                    username: word("username", &row.username)?,
                    display_name: row.display_name,
                    role: word("role", &row.role)?,
                    session: row.id.into(),
                },
                last_seen_at: row.last_seen_at,
                idle_expires_at: row.idle_expires_at,
                expires_at: row.expires_at,
            })
        })
        .transpose()
    }

    async fn touch_session(
        &self,
        id: SessionId,
        idle_expires_at: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        self.run_write("sessions.touch", |mut tx| async move {
            sqlx::query_file!(
                "../sql/statements/sessions/touch.sql",
                id.0,
                idle_expires_at,
                now
            )
            .execute(&mut *tx)
            .await?;
            Ok((tx, ()))
        })
        .await
    }

    async fn sessions(
        &self,
        user: UserId,
        now: OffsetDateTime,
    ) -> Result<Vec<SessionInfo>, StoreError> {
        let rows = self
            .read("sessions.of_user", |mut lease| {
                let query = sqlx::query_file!(
                    "../sql/statements/sessions/of_user.sql",
                    user.0,
                    now,
                    MAX_SESSIONS
                );
                async move { query.fetch_all(&mut *lease).await }
            })
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| SessionInfo {
                id: row.id.into(),
                user_agent: row.user_agent,
                ip: row.ip.map(|network| network.ip()),
                created_at: row.created_at,
                last_seen_at: row.last_seen_at,
                idle_expires_at: row.idle_expires_at,
                expires_at: row.expires_at,
            })
            .collect())
    }

    async fn end_session(
        &self,
        user: UserId,
        session: SessionId,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        self.run_write("sessions.end", |mut tx| async move {
            let ended = sqlx::query_file!(
                "../sql/statements/sessions/end_own.sql",
                session.0,
                user.0,
                now
            )
            .execute(&mut *tx)
            .await?
            .rows_affected();
            if ended == 0 {
                return Ok((tx, false));
            }
            let mut effects = Effects::default();
            ended_one(&mut effects, user, session);
            effects.audit.push(Audit {
                action: "session.end",
                subject_kind: "session",
                subject_id: session.0,
                detail: Vec::new(),
            });
            let made = by_owner(user, origin, now);
            self.write_effects(&mut tx, &effects, made).await?;
            Ok((tx, true))
        })
        .await
    }

    async fn end_sessions(
        &self,
        user: UserId,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Result<u64, StoreError> {
        self.run_write("sessions.end_all", |mut tx| async move {
            lock_user(&mut tx, user).await?;
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
                detail: vec![("sessions_ended", ended.len().to_string())],
            });
            let made = by_owner(user, origin, now);
            self.write_effects(&mut tx, &effects, made).await?;
            Ok((tx, ended.len() as u64))
        })
        .await
    }

    async fn change_password(
        &self,
        user: UserId,
        rehash: Rehash,
        session: NewSession,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let (rehash, session) = (&rehash, &session);
        self.run_write("users.change_password", |mut tx| async move {
            lock_user(&mut tx, user).await?;
            if !set_password(&mut tx, user, &rehash.old, &rehash.new, now).await? {
                return Ok((tx, false));
            }
            let mut effects = Effects::default();
            let ended = end_all_but(&mut tx, user, 0, now).await?;
            ended_all(&mut effects, user, &ended);
            insert_session(&mut tx, user, session, origin, now).await?;
            effects.audit.push(Audit {
                action: "account.password",
                subject_kind: "user",
                subject_id: user.0,
                detail: vec![("sessions_ended", ended.len().to_string())],
            });
            let made = by_owner(user, origin, now);
            self.write_effects(&mut tx, &effects, made).await?;
            Ok((tx, true))
        })
        .await
    }

    async fn account(&self, user: UserId) -> Result<Option<Account>, StoreError> {
        let row = self
            .read("users.account", |mut lease| {
                let query =
                    sqlx::query_file_as!(AccountRow, "../sql/statements/users/account.sql", user.0);
                async move { query.fetch_optional(&mut *lease).await }
            })
            .await?;
        row.map(Account::try_from).transpose()
    }

    async fn change_profile(
        &self,
        actor: &Actor,
        expected: &Expected,
        change: ProfileChange,
        now: OffsetDateTime,
    ) -> Outcome<Account> {
        let change = &change;
        self.run_tx("users.change_profile", |mut tx| async move {
            let row = sqlx::query_file_as!(
                AccountRow,
                "../sql/statements/users/lock_account.sql",
                actor.id.0
            )
            .fetch_optional(&mut *tx)
            .await?
            .ok_or(Refusal::NotFound)?;
            let mut account = Account::try_from(row)?;
            expected.check(account.version)?;
            change.clone().apply(&mut account.profile);
            account.updated_at = micros(now);
            account.version += 1;
            let profile = &account.profile;
            sqlx::query_file!(
                "../sql/statements/users/set_profile.sql",
                account.id.0,
                profile.display_name,
                profile.bio,
                profile.company,
                profile.location,
                profile.website.as_deref(),
                account.updated_at,
                account.version
            )
            .execute(&mut *tx)
            .await?;
            // Cards and details of pitches show the name as well: they carry the tag of their creator, so
            // that a name change is one tag, not one for each pitch.
            let effects = Effects {
                tags: [Tag::user(actor.id), Tag::creator(actor.id)].into(),
                ..Effects::default()
            };
            let origin = Origin::default();
            let made = by_owner(actor.id, &origin, now);
            self.write_effects(&mut tx, &effects, made).await?;
            Ok((tx, account))
        })
        .await
    }
}

impl PgStore {
    /// Makes an account, with more about it for the audit log.
    pub(crate) async fn add_account(
        &self,
        account: &NewAccount,
        session: Option<&NewSession>,
        made: Made<'_>,
        detail: Vec<(&'static str, String)>,
    ) -> Result<Result<(), Taken>, StoreError> {
        let detail = &detail;
        self.run_write("users.register", |mut tx| async move {
            let (username, email) = (account.username.as_str(), account.email.as_str());
            let added = sqlx::query_file!(
                "../sql/statements/users/register.sql",
                account.id.0,
                username,
                email,
                account.password_hash.expose_secret(),
                account.role.as_str(),
                account.display_name,
                made.at
            )
            .execute(&mut *tx)
            .await?
            .rows_affected();
            if added == 0 {
                // Both are told at once. Whoever was first is committed, and is seen by a new statement.
                let taken = sqlx::query_file!("../sql/statements/users/taken.sql", username, email)
                    .fetch_one(&mut *tx)
                    .await?;
                if !(taken.username || taken.email) {
                    return Err(StoreError::Internal("the id of an account is taken".into()).into());
                }
                let taken = Taken {
                    username: taken.username,
                    email: taken.email,
                };
                return Ok((tx, Err(taken)));
            }
            if let Some(session) = session {
                insert_session(&mut tx, account.id, session, made.origin, made.at).await?;
            }
            let mut told = vec![("role", account.role.to_string())];
            told.extend(detail.iter().cloned());
            let effects = Effects {
                tags: [Tag::username(&account.username)].into(),
                audit: vec![Audit {
                    action: "account.register",
                    subject_kind: "user",
                    subject_id: account.id.0,
                    detail: told,
                }],
                ..Effects::default()
            };
            self.write_effects(&mut tx, &effects, made).await?;
            Ok((tx, Ok(())))
        })
        .await
    }
}

/// A change that the account's owner made.
fn by_owner(user: UserId, origin: &Origin, at: OffsetDateTime) -> Made<'_> {
    Made {
        by: Some(user),
        origin,
        at,
    }
}

/// Holds an account against others who change several of its sessions. Deleted ones have none left to change.
async fn lock_user(tx: &mut Tx, user: UserId) -> Result<Option<LockedAccount>, Abort> {
    let row = sqlx::query_file!("../sql/statements/users/lock.sql", user.0)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.map(|row| LockedAccount {
        locked: row.locked_at.is_some(),
        password_hash: row.password_hash,
    }))
}

/// An account whose row this transaction holds.
struct LockedAccount {
    /// Whether an operator has shut it.
    locked: bool,
    password_hash: Option<String>,
}

impl LockedAccount {
    fn has_password(&self, hash: &SecretString) -> bool {
        self.password_hash.as_deref() == Some(hash.expose_secret())
    }
}

/// Ends the live sessions of an account but the newest `stay`.
pub(crate) async fn end_all_but(
    tx: &mut Tx,
    user: UserId,
    stay: i64,
    now: OffsetDateTime,
) -> Result<Vec<SessionId>, Abort> {
    let ended =
        sqlx::query_file_scalar!("../sql/statements/sessions/end_all.sql", user.0, now, stay)
            .fetch_all(&mut **tx)
            .await?;
    Ok(ended.into_iter().map(SessionId).collect())
}

async fn insert_session(
    tx: &mut Tx,
    user: UserId,
    session: &NewSession,
    origin: &Origin,
    now: OffsetDateTime,
) -> Result<(), Abort> {
    sqlx::query_file!(
        "../sql/statements/sessions/open.sql",
        session.id.0,
        user.0,
        &session.token_hash[..],
        session.user_agent,
        network(origin.ip) as _,
        now,
        session.idle_expires_at,
        session.expires_at
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whether the hash was still the one it was to replace.
async fn set_password(
    tx: &mut Tx,
    user: UserId,
    old: &SecretString,
    new: &SecretString,
    now: OffsetDateTime,
) -> Result<bool, Abort> {
    let changed = sqlx::query_file!(
        "../sql/statements/users/set_password.sql",
        user.0,
        old.expose_secret(),
        new.expose_secret(),
        now
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    Ok(changed > 0)
}

/// What the end of one session brings about.
pub(crate) fn ended_one(effects: &mut Effects, user_id: UserId, session: SessionId) {
    effects.tags.insert(Tag::session(session));
    effects.events.push(Event::SessionEnded {
        user_id,
        session_id: Some(session),
    });
}

/// What the end of all sessions brings about; nothing if there was none.
pub(crate) fn ended_all(effects: &mut Effects, user_id: UserId, sessions: &[SessionId]) {
    if sessions.is_empty() {
        return;
    }
    effects
        .tags
        .extend(sessions.iter().copied().map(Tag::session));
    effects.events.push(Event::SessionEnded {
        user_id,
        session_id: None,
    });
}
