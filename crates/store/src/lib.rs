//! What the application asks of a database, as ports.
//!
//! "Not there" is `Ok(None)`; an error is something a caller decides on. With the feature `testing` come
//! `mem::MemStore`, which keeps everything in memory, and `contract`, the suite that every implementation
//! must pass.

pub mod accounts;
#[cfg(feature = "testing")]
pub mod contract;
pub mod intake;
pub mod market;
#[cfg(feature = "testing")]
pub mod mem;
mod operation;

pub use accounts::Accounts;
pub use intake::Intake;
pub use market::Market;

use pitchey_model::{
    BrowseQuery, Page, PitchCard, PitchDetail, PitchId, Position, Profile, SearchPage, SearchQuery,
    UserId, Username, WalPosition,
};
use thiserror::Error;

/// Why a repository has no answer. The sources are for the log, not for the reader.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database cannot be reached, is starting or is shutting down: try again later.
    #[error("the database is not available")]
    Unavailable(#[source] BoxError),
    /// No connection came free, or the statement took longer than it may.
    #[error("the database did not answer in time")]
    Timeout(#[source] BoxError),
    /// Too many already wait for the database: it was not asked. Try again later.
    #[error("the database has more to do than it can take")]
    Overloaded(#[source] BoxError),
    /// A fault of ours: a statement failed, or a row is not what the schema promises.
    #[error("the database gave an answer that was not expected")]
    Internal(#[source] BoxError),
}

/// What lies beneath a [`StoreError`].
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Pitches as readers see them.
pub trait Pitches {
    /// A page of at most `limit` entries, right behind `after`.
    ///
    /// # Panics
    /// May panic if `after` is a position of another sort; the caller has checked its cursor.
    fn browse(
        &self,
        query: &BrowseQuery,
        after: Option<Position>,
        limit: u32,
    ) -> impl Future<Output = Result<Page<PitchCard>, StoreError>> + Send;

    /// The public part of a listed pitch.
    fn detail(
        &self,
        id: PitchId,
    ) -> impl Future<Output = Result<Option<PitchDetail>, StoreError>> + Send;

    /// A page of at most `limit` finds, right behind `after`. On the first page, words that find nothing
    /// are corrected and searched for again.
    fn search(
        &self,
        query: &SearchQuery,
        after: Option<Position>,
        limit: u32,
    ) -> impl Future<Output = Result<SearchPage, StoreError>> + Send;
}

/// Accounts as others see them.
pub trait Users {
    /// The profile of that name.
    fn profile(
        &self,
        username: &Username,
    ) -> impl Future<Output = Result<Option<Profile>, StoreError>> + Send;

    /// The account of that name.
    fn user_id(
        &self,
        username: &Username,
    ) -> impl Future<Output = Result<Option<UserId>, StoreError>> + Send;
}

/// Whether the database answers.
pub trait Health {
    /// One trip to the database and back.
    fn ping(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Which writes a read must see, where replicas that lag behind may answer reads.
pub trait Freshness: Sized {
    /// The same repositories, seen so that every read sees what was written up to `after`: at once, from
    /// whoever has it, be it the primary. Without a position a read of public data may lag as far behind as
    /// the configuration allows. A view of a view demands the later of both positions.
    ///
    /// Cheap: it shares everything with what it was made of. Writes are the same through every view. What
    /// has no replicas gives itself.
    #[must_use]
    fn reading(&self, after: Option<WalPosition>) -> Self;

    /// A position that includes every write that was acknowledged before the call, for
    /// [`reading`](Self::reading). `None` where nobody reads replicas, so that every read sees every write;
    /// nobody is asked for it then.
    fn written_position(
        &self,
    ) -> impl Future<Output = Result<Option<WalPosition>, StoreError>> + Send;
}

/// What the public reads need, cheap to clone.
pub trait Store: Pitches + Users + Health + Freshness + Clone + Send + Sync + 'static {}

impl<T: Pitches + Users + Health + Freshness + Clone + Send + Sync + 'static> Store for T {}

/// Every port in one: what the whole API needs.
pub trait FullStore: Store + Accounts + Market {}

impl<T: Store + Accounts + Market> FullStore for T {}
