//! The public reads: lists, details, profiles.

use super::paging::page_after;
use super::{MemStore, State, count};
use crate::{Freshness, Health, Pitches, StoreError, Users};
use pitchey_model::{
    BrowseQuery, Page, PitchCard, PitchDetail, PitchId, Position, Profile, SearchPage, SearchQuery,
    Shelf, Sort, SortKey, UserId, Username, Visibility, WalPosition,
};

/// Where the counting of a profile's pitches stops.
const MAX_COUNTED: i64 = 10_000;

impl Pitches for MemStore {
    async fn browse(
        &self,
        query: &BrowseQuery,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<PitchCard>, StoreError> {
        let state = self.up()?;
        let found: Vec<(SortKey, PitchCard)> = state
            .listed()
            .map(|(score, detail)| (score, detail.card))
            .filter(|(_, card)| match query.shelf {
                Shelf::All => true,
                Shelf::Public => card.visibility == Visibility::Public,
                Shelf::Genre(genre) => card.genres.contains(&genre),
            })
            .filter(|(_, card)| {
                query
                    .creator
                    .is_none_or(|creator| card.creator.id == creator)
            })
            .filter(|(_, card)| query.format.is_none_or(|format| card.format == format))
            .filter(|(_, card)| query.stage.is_none_or(|stage| card.stage == stage))
            .map(|(score, card)| {
                let key = match query.sort {
                    Sort::New => SortKey::Time(card.published_at),
                    Sort::Trending => SortKey::Score(score),
                    Sort::Views => SortKey::Views(card.view_count),
                };
                (key, card)
            })
            .collect();
        Ok(page_after(found, after, limit, |card| card.id.0))
    }

    async fn detail(&self, id: PitchId) -> Result<Option<PitchDetail>, StoreError> {
        let state = self.up()?;
        let mut listed = state.listed().map(|(_, detail)| detail);
        Ok(listed.find(|detail| detail.card.id == id))
    }

    async fn search(
        &self,
        query: &SearchQuery,
        after: Option<Position>,
        limit: u32,
    ) -> Result<SearchPage, StoreError> {
        Ok(self.up()?.search(query, after, limit))
    }
}

impl State {
    fn profile(&self, username: &Username) -> Option<Profile> {
        let mut users = self.users.iter().filter(|row| !row.deleted);
        let profile = &users.find(|row| row.profile.username == *username)?.profile;
        let own = (self.pitches.iter())
            .filter(|row| row.is_listed() && row.pitch.creator.id == profile.id);
        Some(Profile {
            pitch_count: count(own.count()).min(MAX_COUNTED),
            follower_count: self.follower_count(profile.id),
            ..profile.clone()
        })
    }
}

impl Users for MemStore {
    async fn profile(&self, username: &Username) -> Result<Option<Profile>, StoreError> {
        Ok(self.up()?.profile(username))
    }

    async fn user_id(&self, username: &Username) -> Result<Option<UserId>, StoreError> {
        Ok(self.profile(username).await?.map(|profile| profile.id))
    }
}

impl Health for MemStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.up().map(|_| ())
    }
}

/// There are no replicas: whoever reads sees every write.
impl Freshness for MemStore {
    fn reading(&self, _after: Option<WalPosition>) -> Self {
        self.clone()
    }

    async fn written_position(&self) -> Result<Option<WalPosition>, StoreError> {
        self.up().map(|_| None)
    }
}
