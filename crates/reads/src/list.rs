//! Lists of pitches, and a pitch.

use crate::rows::DetailColumns;
use crate::{Statements, corrupt};
use pitchey_model::{
    BrowseQuery, Format, Page, PitchCard, PitchDetail, PitchId, Position, Sort, SortKey, Stage,
};
use pitchey_store::StoreError;
use std::fmt::Display;
use uuid::Uuid;

/// What a statement of a list is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct ListAsk {
    /// In which order, which names the statement.
    pub sort: Sort,
    /// The shelf.
    pub shelf: &'static str,
    /// The key of the last entry of the page before, which is one of the sort.
    pub key: Option<SortKey>,
    /// Its id.
    pub id: Option<Uuid>,
    /// The formats to show.
    pub formats: Vec<String>,
    /// The stages to show.
    pub stages: Vec<String>,
    /// How many rows: one more than are shown.
    pub fetch: i64,
    /// Whose pitches, which names the statement, too.
    pub creator: Option<Uuid>,
}

/// A page of a list: see `store::Pitches::browse`.
pub async fn browse(
    statements: &impl Statements,
    query: &BrowseQuery,
    after: Option<Position>,
    limit: u32,
) -> Result<Page<PitchCard>, StoreError> {
    let belongs = |key| {
        matches!(
            (query.sort, key),
            (Sort::New, SortKey::Time(_))
                | (Sort::Trending, SortKey::Score(_))
                | (Sort::Views, SortKey::Views(_))
        )
    };
    if let Some(position) = after
        && !belongs(position.key)
    {
        return Err(wrong_sort(position));
    }
    let ask = ListAsk {
        sort: query.sort,
        shelf: query.shelf.as_str(),
        key: after.map(|position| position.key),
        id: after.map(|position| position.id),
        formats: one_or_all(query.format.as_ref(), Format::ALL),
        stages: one_or_all(query.stage.as_ref(), Stage::ALL),
        fetch: i64::from(limit) + 1,
        creator: query.creator.map(|creator| creator.0),
    };
    let rows = statements.list(&ask).await?.into_iter();
    let cards = rows.map(|(key, card)| Ok((key, card.try_into()?)));
    let cards = cards.collect::<Result<Vec<(SortKey, PitchCard)>, StoreError>>()?;
    Ok(page_of(cards, limit, |card| card.id.0))
}

/// The public part of a listed pitch: see `store::Pitches::detail`.
pub async fn detail(
    statements: &impl Statements,
    id: PitchId,
) -> Result<Option<PitchDetail>, StoreError> {
    let row = statements.detail(id).await?;
    row.map(DetailColumns::try_into).transpose()
}

/// A filter that is absent lets every word pass: one plan for all combinations, answered in the index.
fn one_or_all<T: Display>(one: Option<&T>, all: &[T]) -> Vec<String> {
    let all = one.map_or(all, std::slice::from_ref);
    all.iter().map(ToString::to_string).collect()
}

/// The place of the last entry shown, if one more was fetched than asked for, which is then dropped.
pub fn page_of<T>(mut items: Vec<(SortKey, T)>, limit: u32, id: impl Fn(&T) -> Uuid) -> Page<T> {
    let limit = limit as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|(key, item)| Position {
        key: *key,
        id: id(item),
    });
    Page {
        items: items.into_iter().map(|(_, item)| item).collect(),
        next,
    }
}

/// The error of a position of another sort, which is a fault of ours: cursors are checked before.
pub fn wrong_sort(position: Position) -> StoreError {
    StoreError::Internal(format!("a position of another sort: {position:?}").into())
}

impl TryFrom<DetailColumns> for PitchDetail {
    type Error = StoreError;

    fn try_from(row: DetailColumns) -> Result<Self, StoreError> {
        Ok(Self {
            card: row.card.try_into()?,
            synopsis: row.synopsis,
            cast: row.cast_members,
            updated_at: row.updated_at,
            version: row.version,
        })
    }
}

impl ListAsk {
    /// The key of the page before as the statement takes it; an error if it is one of another sort.
    pub fn key_as<T>(
        &self,
        read: impl FnOnce(SortKey) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let told = |key| read(key).ok_or_else(|| corrupt("sort_key", &format!("{key:?}")));
        self.key.map(told).transpose()
    }
}
