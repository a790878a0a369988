//! Searches and what they find.

use crate::{Format, Genre, Page, PitchCard};
use std::collections::BTreeMap;

/// What is searched for. `words` is as people type it: quotes, `or` and `-` mean what they mean elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery {
    /// The words, cleaned.
    pub words: String,
    /// One genre alone.
    pub genre: Option<Genre>,
    /// One format alone.
    pub format: Option<Format>,
    /// Count by genre and format.
    pub facets: bool,
    /// Show where the words stand.
    pub highlights: bool,
}

/// Where the words stand: text escaped for HTML, the words in `<mark>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Highlights {
    /// The title.
    pub title: String,
    /// The logline.
    pub logline: String,
    /// The best passage of the synopsis.
    pub synopsis: String,
}

/// A pitch that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchHit {
    /// The pitch.
    pub card: PitchCard,
    /// How well it fits; comparable within one search only.
    pub rank: f32,
    /// Where the words stand, if asked for.
    pub highlights: Option<Highlights>,
}

/// How the finds divide. Finds are ranked and counted up to 700.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facets {
    /// All finds.
    pub total: i64,
    /// By genre; a pitch with two counts in both.
    pub genres: BTreeMap<Genre, i64>,
    /// By format.
    pub formats: BTreeMap<Format, i64>,
}

/// A page of finds.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchPage {
    /// The finds, best first.
    pub page: Page<SearchHit>,
    /// The words that were searched for instead, when those asked for found nothing.
    pub corrected: Option<String>,
    /// On the first page, if asked for.
    pub facets: Option<Facets>,
}
