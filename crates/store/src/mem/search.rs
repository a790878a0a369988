//! Search, as far as tests need it.

use super::State;
use super::paging::page_after;
use pitchey_model::{
    Facets, Highlights, PitchDetail, Position, SearchHit, SearchPage, SearchQuery, SortKey,
};

impl State {
    pub(super) fn search(
        &self,
        query: &SearchQuery,
        after: Option<Position>,
        limit: u32,
    ) -> SearchPage {
        let pitches: Vec<PitchDetail> = self.listed().map(|(_, detail)| detail).collect();
        let mut words = query.words.to_lowercase();
        let mut found = find(&pitches, query, &words);
        let mut corrected = None;
        if found.is_empty() && after.is_none() {
            let other = correct(&pitches, &words);
            found = find(&pitches, query, &other);
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
        SearchPage {
            page,
            corrected,
            facets,
        }
    }
}

fn find(pitches: &[PitchDetail], query: &SearchQuery, words: &str) -> Vec<(SortKey, SearchHit)> {
    pitches
        .iter()
        .filter(|pitch| {
            query
                .genre
                .is_none_or(|genre| pitch.card.genres.contains(&genre))
        })
        .filter(|pitch| {
            query
                .format
                .is_none_or(|format| pitch.card.format == format)
        })
        .filter_map(|pitch| {
            let card = &pitch.card;
            let fields =
                [&card.title, &card.logline, &pitch.synopsis].map(|field| field.to_lowercase());
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
        .collect()
}

fn has_word(field: &str, word: &str) -> bool {
    field
        .split(|c: char| !c.is_alphanumeric())
        .any(|w| w == word)
}

fn correct(pitches: &[PitchDetail], words: &str) -> String {
    let titles: Vec<String> = pitches
        .iter()
        .map(|pitch| pitch.card.title.to_lowercase())
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
