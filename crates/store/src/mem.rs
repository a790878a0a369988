//! Everything in memory: for tests of what stands on the ports, without a database.
//!
//! It knows no stems and no ranks beyond "in the title, in the logline, in the synopsis", and corrects a
//! word only if one letter is wrong: enough for the contract, not a search engine.

use crate::{Health, Pitches, StoreError, Users};
use pitchey_model::{
    BrowseQuery, Facets, Highlights, MediaId, Page, Person, PitchCard, PitchDetail, PitchId,
    Position, Profile, Role, SearchHit, SearchPage, SearchQuery, Shelf, Sort, SortKey, UserId,
    Username, Visibility,
};
use std::cmp::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use time::OffsetDateTime;
use uuid::Uuid;

/// A pitch and what lists sort it by.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPitch {
    /// The public part.
    pub detail: PitchDetail,
    /// Its score.
    pub trending_score: f64,
    /// Published, not private, not deleted.
    pub listed: bool,
}

#[derive(Debug, Default)]
struct State {
    pitches: Vec<StoredPitch>,
    users: Vec<Profile>,
    outage: Option<Outage>,
}

/// How the fake fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// As if the database were down.
    Unavailable,
    /// As if it were too slow.
    Timeout,
    /// As if a statement failed.
    Internal,
}

/// The ports over plain vectors. Clones share their content.
#[derive(Debug, Clone, Default)]
pub struct MemStore(Arc<Mutex<State>>);

impl MemStore {
    /// Adds an account.
    pub fn add_user(&self, profile: Profile) {
        self.state().users.push(profile);
    }

    /// Adds a pitch.
    pub fn add_pitch(&self, pitch: StoredPitch) {
        self.state().pitches.push(pitch);
    }

    /// From now on every call fails like this, or works again.
    pub fn set_outage(&self, outage: Option<Outage>) {
        self.state().outage = outage;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn up(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state();
        match state.outage {
            None => Ok(state),
            Some(Outage::Unavailable) => Err(StoreError::Unavailable("an outage in a test".into())),
            Some(Outage::Timeout) => Err(StoreError::Timeout("an outage in a test".into())),
            Some(Outage::Internal) => Err(StoreError::Internal("an outage in a test".into())),
        }
    }
}

impl Pitches for MemStore {
    async fn browse(
        &self,
        query: &BrowseQuery,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<PitchCard>, StoreError> {
        let state = self.up()?;
        let mut found: Vec<(SortKey, PitchCard)> = state
            .pitches
            .iter()
            .filter(|pitch| pitch.listed)
            .map(|pitch| (pitch.trending_score, &pitch.detail.card))
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
                (key, card.clone())
            })
            .collect();
        found.sort_by(|(a_key, a), (b_key, b)| descending((*b_key, b.id.0), (*a_key, a.id.0)));
        Ok(page_after(found, after, limit, |card| card.id.0))
    }

    async fn detail(&self, id: PitchId) -> Result<Option<PitchDetail>, StoreError> {
        let state = self.up()?;
        Ok(state
            .pitches
            .iter()
            .find(|pitch| pitch.listed && pitch.detail.card.id == id)
            .map(|p| p.detail.clone()))
    }

    async fn search(
        &self,
        query: &SearchQuery,
        after: Option<Position>,
        limit: u32,
    ) -> Result<SearchPage, StoreError> {
        let state = self.up()?;
        let mut words = query.words.to_lowercase();
        let mut found = find(&state.pitches, query, &words);
        let mut corrected = None;
        if found.is_empty() && after.is_none() {
            let other = correct(&state.pitches, &words);
            found = find(&state.pitches, query, &other);
            if !found.is_empty() {
                words.clone_from(&other);
                corrected = Some(other);
            }
        }
        let facets = (query.facets && after.is_none()).then(|| {
            let mut facets = Facets {
                total: found.len().try_into().unwrap_or(i64::MAX),
                ..Facets::default()
            };
            for (_, hit) in &found {
                *facets.formats.entry(hit.card.format).or_default() += 1;
                for genre in &hit.card.genres {
                    *facets.genres.entry(*genre).or_default() += 1;
                }
            }
            facets
        });
        let mut page = page_after(found, after, limit, |hit| hit.card.id.0);
        if query.highlights {
            for hit in &mut page.items {
                let synopsis = String::new();
                hit.highlights = Some(Highlights {
                    title: hit.card.title.clone(),
                    logline: hit.card.logline.clone(),
                    synopsis,
                });
            }
        }
        Ok(SearchPage {
            page,
            corrected,
            facets,
        })
    }
}

impl Users for MemStore {
    async fn profile(&self, username: &Username) -> Result<Option<Profile>, StoreError> {
        Ok(self
            .up()?
            .users
            .iter()
            .find(|user| user.username == *username)
            .cloned())
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

fn find(pitches: &[StoredPitch], query: &SearchQuery, words: &str) -> Vec<(SortKey, SearchHit)> {
    let mut found: Vec<_> = pitches
        .iter()
        .filter(|pitch| pitch.listed)
        .filter(|pitch| {
            query
                .genre
                .is_none_or(|genre| pitch.detail.card.genres.contains(&genre))
        })
        .filter(|pitch| {
            query
                .format
                .is_none_or(|format| pitch.detail.card.format == format)
        })
        .filter_map(|pitch| {
            let card = &pitch.detail.card;
            let fields = [&card.title, &card.logline, &pitch.detail.synopsis]
                .map(|field| field.to_lowercase());
            let all = words
                .split_whitespace()
                .all(|word| fields.iter().any(|field| has_word(field, word)));
            let best = fields
                .iter()
                .position(|field| words.split_whitespace().all(|word| has_word(field, word)));
            let rank = match best {
                Some(0) => 3.0,
                Some(1) => 2.0,
                _ => 1.0,
            };
            let hit = SearchHit {
                card: card.clone(),
                rank,
                highlights: None,
            };
            (all && !words.is_empty()).then_some((SortKey::Rank(rank), hit))
        })
        .collect();
    found
        .sort_by(|(a_key, a), (b_key, b)| descending((*b_key, b.card.id.0), (*a_key, a.card.id.0)));
    found
}

fn has_word(field: &str, word: &str) -> bool {
    field
        .split(|c: char| !c.is_alphanumeric())
        .any(|w| w == word)
}

fn correct(pitches: &[StoredPitch], words: &str) -> String {
    let titles: Vec<String> = pitches
        .iter()
        .map(|pitch| pitch.detail.card.title.to_lowercase())
        .collect();
    let known: Vec<&str> = titles
        .iter()
        .flat_map(|title| title.split_whitespace())
        .collect();
    let nearest = |word: &str| {
        known
            .iter()
            .copied()
            .find(|known| one_letter_apart(known, word))
    };
    words
        .split_whitespace()
        .map(|word| nearest(word).unwrap_or(word))
        .collect::<Vec<_>>()
        .join(" ")
}

fn one_letter_apart(known: &str, word: &str) -> bool {
    let without = |text: &str| {
        (0..text.chars().count())
            .map(|i| drop_char(text, i))
            .collect::<Vec<_>>()
    };
    known == word
        || without(known)
            .iter()
            .any(|k| k == word || without(word).contains(k) || k == known)
}

fn drop_char(text: &str, at: usize) -> String {
    text.chars()
        .enumerate()
        .filter(|(i, _)| *i != at)
        .map(|(_, c)| c)
        .collect()
}

fn page_after<T>(
    found: Vec<(SortKey, T)>,
    after: Option<Position>,
    limit: u32,
    id: impl Fn(&T) -> Uuid,
) -> Page<T> {
    let limit = limit as usize;
    let mut rest: Vec<_> = found
        .into_iter()
        .filter(|(key, item)| {
            after.is_none_or(|after| {
                descending((*key, id(item)), (after.key, after.id)) == Ordering::Less
            })
        })
        .collect();
    let more = rest.len() > limit;
    rest.truncate(limit);
    let next = rest.last().filter(|_| more).map(|(key, item)| Position {
        key: *key,
        id: id(item),
    });
    Page {
        items: rest.into_iter().map(|(_, item)| item).collect(),
        next,
    }
}

fn descending((a, a_id): (SortKey, Uuid), (b, b_id): (SortKey, Uuid)) -> Ordering {
    let keys = match (a, b) {
        (SortKey::Time(a), SortKey::Time(b)) => a.cmp(&b),
        (SortKey::Score(a), SortKey::Score(b)) => a.total_cmp(&b),
        (SortKey::Views(a), SortKey::Views(b)) => a.cmp(&b),
        (SortKey::Rank(a), SortKey::Rank(b)) => a.total_cmp(&b),
        _ => panic!("positions of two sorts"),
    };
    keys.then(a_id.cmp(&b_id))
}

/// A listed pitch with plain values, to be changed where a test cares.
pub fn pitch(id: u128, title: &str, creator: &Profile) -> StoredPitch {
    let published_at = OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
    StoredPitch {
        detail: PitchDetail {
            card: PitchCard {
                id: PitchId(uuid::Uuid::from_u128(id)),
                title: title.to_owned(),
                logline: String::new(),
                genres: Vec::new(),
                format: pitchey_model::Format::Feature,
                stage: pitchey_model::Stage::Script,
                visibility: Visibility::Public,
                release_year: None,
                cover: None::<MediaId>,
                creator: Person {
                    id: creator.id,
                    username: creator.username.clone(),
                    display_name: creator.display_name.clone(),
                },
                published_at,
                view_count: 0,
            },
            synopsis: String::new(),
            cast: Vec::new(),
            updated_at: published_at,
            version: 1,
        },
        trending_score: 0.0,
        listed: true,
    }
}

/// A creator's profile with plain values.
///
/// # Panics
/// If `username` has not the shape of one.
pub fn creator(id: u128, username: &str) -> Profile {
    Profile {
        id: UserId(uuid::Uuid::from_u128(id)),
        username: username.parse().expect("a test gives a good name"),
        display_name: username.to_owned(),
        role: Role::Creator,
        bio: String::new(),
        company: String::new(),
        location: String::new(),
        website: None,
        avatar: None,
        pitch_count: 0,
        follower_count: 0,
        created_at: OffsetDateTime::UNIX_EPOCH + time::Duration::days(19_000),
        version: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{self, Harness};

    impl Harness for MemStore {
        type Store = Self;
        fn store(&self) -> &Self {
            self
        }
        async fn given(&self, users: &[Profile], pitches: &[StoredPitch]) {
            let mut state = self.state();
            state.users.extend_from_slice(users);
            state.pitches.extend_from_slice(pitches);
        }
    }

    contract::suite!(mem, async { MemStore::default() });
}
