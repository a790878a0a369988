//! Accounts and sessions.

use crate::StoreError;
use pitchey_model::decide::{Expected, Refusal};
use pitchey_model::{
    Account, Actor, Email, ProfileChange, Role, SessionId, SessionInfo, UserId, Username,
};
use secrecy::SecretString;
use std::net::IpAddr;
use time::OffsetDateTime;

/// SHA-256 of a session's token: what is stored of it.
pub type TokenHash = [u8; 32];

/// Where a request came from, for the records of sessions and the audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address.
    pub ip: Option<IpAddr>,
    /// The id of the request.
    pub request_id: Option<String>,
}

/// A session to be opened.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// What it will be called.
    pub id: SessionId,
    /// The hash of its token.
    pub token_hash: TokenHash,
    /// What the browser or program calls itself, at most 512 characters.
    pub user_agent: String,
    /// When it ends if it is not used.
    pub idle_expires_at: OffsetDateTime,
    /// When it ends in any case.
    pub expires_at: OffsetDateTime,
}

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// What it will be called.
    pub id: UserId,
    /// Its name in addresses.
    pub username: Username,
    /// What its owner signs in with.
    pub email: Email,
    /// The hash of the password, as a PHC string.
    pub password_hash: SecretString,
    /// What it is for.
    pub role: Role,
    /// Its name on pages.
    pub display_name: String,
}

/// What is taken already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The name in addresses.
    pub username: bool,
    /// The e-mail address.
    pub email: bool,
}

/// What signing in is checked against.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The account.
    pub id: UserId,
    /// Its name in addresses.
    pub username: Username,
    /// Its name on pages.
    pub display_name: String,
    /// What it is for.
    pub role: Role,
    /// The hash of the password; imported accounts have none, and nobody signs in as them.
    pub password_hash: Option<SecretString>,
    /// Whether an operator has locked it.
    pub locked: bool,
}

/// A session that a request came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Who acts.
    pub actor: Actor,
    /// When it was last seen, give or take a minute.
    pub last_seen_at: OffsetDateTime,
    /// When it ends if it is not used.
    pub idle_expires_at: OffsetDateTime,
    /// When it ends in any case.
    pub expires_at: OffsetDateTime,
}

/// Something that an operator did to what runs the site, for the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// What was done.
    pub action: &'static str,
    /// To what kind of thing.
    pub subject_kind: &'static str,
    /// More about it.
    pub detail: Vec<(&'static str, String)>,
}

/// Accounts and sessions. `now` is the caller's clock: expiry is judged by it.
pub trait Accounts {
    /// Makes an account and opens its first session, with an audit entry (`account.register`).
    fn register(
        &self,
        account: NewAccount,
        session: Option<NewSession>,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<Result<(), Taken>, StoreError>> + Send;

    /// What signing in with an address is checked against. Deleted accounts have none.
    fn credentials(
        &self,
        email: &Email,
    ) -> impl Future<Output = Result<Option<Credentials>, StoreError>> + Send;

    /// What a change of the password is checked against.
    fn credentials_of(
        &self,
        user: UserId,
    ) -> impl Future<Output = Result<Option<Credentials>, StoreError>> + Send;

    /// Writes an entry of the audit log about what is no thing of the store: what was done (`cache.purge`), to
    /// what kind of thing, and more about it.
    fn note_operation(
        &self,
        operator: UserId,
        operation: Operation,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Opens a session, ends the one that it replaces, and stores a fresher hash of the password if there is
    /// one. With an audit entry (`session.open`).
    ///
    /// `false`, and nothing is changed, if what was proven holds no more: the password has changed since, or
    /// the account is locked or gone. Without a proof the account must be there and open, no more.
    fn open_session(
        &self,
        user: UserId,
        session: NewSession,
        replaces: Option<TokenHash>,
        proof: Option<Proof>,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The live session of a token: not ended, not expired, its account neither locked nor deleted.
    fn session(
        &self,
        token: &TokenHash,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<Option<Session>, StoreError>> + Send;

    /// Says that a session was used, and until when it is good now if it is not used again.
    fn touch_session(
        &self,
        id: SessionId,
        idle_expires_at: OffsetDateTime,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The live sessions of an account, newest first, at most 100.
    fn sessions(
        &self,
        user: UserId,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<Vec<SessionInfo>, StoreError>> + Send;

    /// Ends a session of an account; whether there was such a live one. With an event, a tag and an audit
    /// entry (`session.end`).
    fn end_session(
        &self,
        user: UserId,
        session: SessionId,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Ends every session of an account; how many there were. With an event, their tags and an audit entry
    /// (`session.end_all`).
    fn end_sessions(
        &self,
        user: UserId,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Stores a new password over the one it was checked against, ends every session and opens a new one.
    /// `false`, and nothing is changed, if the password has changed meanwhile. With an event, tags and an
    /// audit entry (`account.password`).
    fn change_password(
        &self,
        user: UserId,
        rehash: Rehash,
        session: NewSession,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// An account as its owner sees it.
    fn account(
        &self,
        user: UserId,
    ) -> impl Future<Output = Result<Option<Account>, StoreError>> + Send;

    /// Changes what an account says about itself. Raises the tags of its profile and of its pitches' lists.
    fn change_profile(
        &self,
        actor: &Actor,
        expected: &Expected,
        change: ProfileChange,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<Result<Account, Refusal>, StoreError>> + Send;
}

/// What a password was verified against.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The hash.
    pub hash: SecretString,
    /// A hash with today's parameters, to be stored in its place.
    pub fresher: Option<SecretString>,
}

/// One hash of a password in place of another.
#[derive(Debug, Clone)]
pub struct Rehash {
    /// What it was verified against.
    pub old: SecretString,
    /// What it becomes.
    pub new: SecretString,
}
