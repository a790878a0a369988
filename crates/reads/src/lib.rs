//! The public reads of PostgreSQL, whatever driver asks it: which statement is run, with what, and what its
//! rows mean.
//!
//! A driver implements [`Statements`], one method for each of the statements; [`browse`], [`detail`],
//! [`search()`] and [`profile()`] make the ports of `store` of them. So the rules of a list and of a search are
//! written once, for the origin and for the edges that read databases of their own.

mod error;
mod list;
mod profile;
mod rows;
mod search;

pub use error::{Corrupt, corrupt, is_away, of_code};
pub use list::{ListAsk, browse, detail, page_of, wrong_sort};
pub use profile::profile;
pub use rows::{CardColumns, DetailColumns, ProfileColumns, word};
pub use search::{Correction, FoundColumns, HighlightColumns, SearchAsk, search};

use pitchey_model::{PitchId, SortKey, Username};
use pitchey_store::StoreError;
use std::collections::BTreeMap;
use uuid::Uuid;

/// The statements of the public reads, by their name in `crates/sql/statements`.
pub trait Statements: Sync {
    /// `pitches.browse_*` and `pitches.creator_*`: by the sort, and whether a creator is asked for.
    fn list(
        &self,
        ask: &ListAsk,
    ) -> impl Future<Output = Result<Vec<(SortKey, CardColumns)>, StoreError>> + Send;

    /// `pitches.detail`.
    fn detail(
        &self,
        id: PitchId,
    ) -> impl Future<Output = Result<Option<DetailColumns>, StoreError>> + Send;

    /// `search.page`.
    fn found(
        &self,
        ask: &SearchAsk<'_>,
    ) -> impl Future<Output = Result<Vec<FoundColumns>, StoreError>> + Send;

    /// `search.highlights`, of these pitches.
    fn highlights(
        &self,
        ids: &[Uuid],
        words: &str,
    ) -> impl Future<Output = Result<BTreeMap<Uuid, HighlightColumns>, StoreError>> + Send;

    /// `search.correct`: the words, in order.
    fn corrections(
        &self,
        words: &str,
    ) -> impl Future<Output = Result<Vec<Correction>, StoreError>> + Send;

    /// `users.profile`.
    fn profile(
        &self,
        username: &Username,
    ) -> impl Future<Output = Result<Option<ProfileColumns>, StoreError>> + Send;
}
