//! Pitches as readers see them.

use crate::PgStore;
use crate::rows::card_columns;
use pitchey_model::{
    BrowseQuery, Format, Page, PitchCard, PitchDetail, PitchId, Position, SearchPage, SearchQuery,
    Sort, SortKey, Stage,
};
use pitchey_store::{Pitches, StoreError};
use uuid::Uuid;

/// The place of the last entry shown, if one more was fetched than asked for, which is then dropped.
pub(crate) fn page_of<T>(
    mut items: Vec<(SortKey, T)>,
    limit: u32,
    id: impl Fn(&T) -> Uuid,
) -> Page<T> {
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

/// One fetch of a list by one sort: with or without a creator, the same columns.
macro_rules! fetch_list {
    ($store:ident, $query:ident, $after:ident, $limit:ident, $key:path, $name:literal in $path:literal, $creator_name:literal in $creator_path:literal) => {{
        let key = match $after {
            None => None,
            Some(Position { key: $key(key), .. }) => Some(key),
            Some(other) => return Err(wrong_sort(other)),
        };
        let id = $after.map(|position| position.id);
        let (formats, stages) = (formats($query.format), stages($query.stage));
        let shelf = $query.shelf.as_str();
        let fetch = i64::from($limit) + 1;
        macro_rules! cards {
            ($rows:ident) => {
                $rows
                    .into_iter()
                    .map(|row| Ok(($key(row.sort_key), PitchCard::try_from(card_columns!(row))?)))
                    .collect::<Result<Vec<_>, StoreError>>()?
            };
        }
        if let Some(creator) = $query.creator {
            let rows = $store
                .read_public($creator_name, |mut lease| {
                    let query = sqlx::query_file!(
                        $creator_path,
                        shelf,
                        key,
                        id,
                        &formats,
                        &stages,
                        fetch,
                        creator.0
                    );
                    async move { query.fetch_all(&mut *lease).await }
                })
                .await?;
            cards!(rows)
        } else {
            let rows = $store
                .read_public($name, |mut lease| {
                    let query = sqlx::query_file!($path, shelf, key, id, &formats, &stages, fetch);
                    async move { query.fetch_all(&mut *lease).await }
                })
                .await?;
            cards!(rows)
        }
    }};
}

impl Pitches for PgStore {
    async fn browse(
        &self,
        query: &BrowseQuery,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<PitchCard>, StoreError> {
        let items = match query.sort {
            Sort::New => {
                fetch_list!(
                    self,
                    query,
                    after,
                    limit,
                    SortKey::Time,
                    "pitches.browse_new" in "../sql/statements/pitches/browse_new.sql",
                    "pitches.creator_new" in "../sql/statements/pitches/creator_new.sql"
                )
            }
            Sort::Trending => {
                fetch_list!(
                    self,
                    query,
                    after,
                    limit,
                    SortKey::Score,
                    "pitches.browse_trending" in "../sql/statements/pitches/browse_trending.sql",
                    "pitches.creator_trending" in "../sql/statements/pitches/creator_trending.sql"
                )
            }
            Sort::Views => fetch_list!(
                self,
                query,
                after,
                limit,
                SortKey::Views,
                "pitches.browse_views" in "../sql/statements/pitches/browse_views.sql",
                "pitches.creator_views" in "../sql/statements/pitches/creator_views.sql"
            ),
        };
        Ok(page_of(items, limit, |card| card.id.0))
    }

    async fn detail(&self, id: PitchId) -> Result<Option<PitchDetail>, StoreError> {
        let row = self
            .read_public("pitches.detail", |mut lease| {
                let query = sqlx::query_file!("../sql/statements/pitches/detail.sql", id.0);
                async move { query.fetch_optional(&mut *lease).await }
            })
            .await?;
        row.map(|row| {
            let (synopsis, cast, updated_at, version) =
                (row.synopsis, row.cast_members, row.updated_at, row.version);
            Ok(PitchDetail {
                card: card_columns!(row).try_into()?,
                synopsis,
                cast,
                updated_at,
                version,
            })
        })
        .transpose()
    }

    async fn search(
        &self,
        query: &SearchQuery,
        after: Option<Position>,
        limit: u32,
    ) -> Result<SearchPage, StoreError> {
        self.search_page(query, after, limit).await
    }
}

/// A filter that is absent lets every word pass: one plan for all combinations, answered in the index.
fn formats(one: Option<Format>) -> Vec<String> {
    one.as_ref()
        .map_or(Format::ALL, std::slice::from_ref)
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn stages(one: Option<Stage>) -> Vec<String> {
    one.as_ref()
        .map_or(Stage::ALL, std::slice::from_ref)
        .iter()
        .map(ToString::to_string)
        .collect()
}

pub(crate) fn wrong_sort(position: Position) -> StoreError {
    StoreError::Internal(format!("a position of another sort: {position:?}").into())
}
