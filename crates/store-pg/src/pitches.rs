//! Pitches as readers see them.

use crate::PgStore;
use pitchey_model::{
    BrowseQuery, Page, PitchCard, PitchDetail, PitchId, Position, SearchPage, SearchQuery,
};
pub(crate) use pitchey_reads::{page_of, wrong_sort};
use pitchey_store::{Pitches, StoreError};

impl Pitches for PgStore {
    async fn browse(
        &self,
        query: &BrowseQuery,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<PitchCard>, StoreError> {
        pitchey_reads::browse(self, query, after, limit).await
    }

    async fn detail(&self, id: PitchId) -> Result<Option<PitchDetail>, StoreError> {
        pitchey_reads::detail(self, id).await
    }

    async fn search(
        &self,
        query: &SearchQuery,
        after: Option<Position>,
        limit: u32,
    ) -> Result<SearchPage, StoreError> {
        pitchey_reads::search(self, query, after, limit).await
    }
}
