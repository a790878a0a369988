//! Lists: what is asked for, and where a page ends.

use crate::{Format, Shelf, Sort, Stage, UserId};
use time::OffsetDateTime;
use uuid::Uuid;

/// What a list shows. Filters that are absent show everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrowseQuery {
    /// What it walks.
    pub shelf: Shelf,
    /// In which order.
    pub sort: Sort,
    /// One creator's alone.
    pub creator: Option<UserId>,
    /// One format alone.
    pub format: Option<Format>,
    /// One stage alone.
    pub stage: Option<Stage>,
}

/// What a list is sorted by; ties are broken by the id. Both descend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SortKey {
    /// [`Sort::New`], and every list that is in the order of time.
    Time(OffsetDateTime),
    /// [`Sort::Trending`].
    Score(f64),
    /// [`Sort::Views`].
    Views(i64),
    /// A search.
    Rank(f32),
}

/// The place of an entry in a list: the next page begins right behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// What it sorts by.
    pub key: SortKey,
    /// Which of those that are equal.
    pub id: Uuid,
}

/// Some entries of a list, and where to go on.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The entries, in order.
    pub items: Vec<T>,
    /// The place of the last entry, if there are more behind it.
    pub next: Option<Position>,
}
