//! What a foreign film becomes here.
//!
//! | of the film | of the pitch |
//! | --- | --- |
//! | `title` | title, at most 200 characters, else the line is refused |
//! | `year` | release year, 1870 to 2200, else the line is refused |
//! | `genres` | genres by our vocabulary, the first eight; unknown words are left out and counted |
//! | `Short` or `Documentary` among them | that format; else it is a feature |
//! | `extract` | synopsis; its first sentence or sentences, at most 500 characters, are the logline |
//! | `cast` | cast, at most 100 names |
//! | first-billed name | the creator's account, or the catalogue's where there is none |
//! | – | published, public, completed |
//!
//! **Natural key**: `[href, title, year]`. The `href` alone is none: in real files several films point to one
//! article (a remake and its model, the parts of a series), and title and year are shared by different films
//! (two *Carmen* of 1915). Without an `href`, the first-billed name takes its place. So every film that differs
//! in one of these is a pitch of its own, and a line that agrees in all of them is the same film again.
//!
//! **Date of publication**: a moment of the film's year, picked by its key, so that the order of lists is the
//! order of release, is the same on every machine and in every run, and ties are rare. The moment of the import
//! would give thousands of films one date. Films of the future are published on the day of the import.
//!
//! **Accounts**: persons whose names fold to one user name are one account ("Andy García" and "Andy Garcia").
//! Its id follows from that name, so an account that a stranger holds under it is never taken for it: the
//! import's then gets a longer name.

use super::record::Record;
use super::sentences;
use pitchey_model::text::{self, TextError};
use pitchey_model::{Format, Genre, Username};
use pitchey_store_pg::bulk::{Account, Film};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use time::{Date, Duration, Month, OffsetDateTime};
use unicode_normalization::UnicodeNormalization as _;
use uuid::{Builder, Uuid};

/// The name under which the database remembers what became of films.
pub(super) const SOURCE: &str = "films";

const MAX_TITLE: usize = 200;
const MAX_LOGLINE: usize = 500;
const MAX_SYNOPSIS: usize = 5000;
const MAX_CAST: usize = 100;
const MAX_NAME: usize = 200;
const MAX_DISPLAY_NAME: usize = 80;
const MAX_GENRES: usize = 8;
const MAX_HREF: usize = 500;
/// What `import_records` takes.
const MAX_KEY: usize = 1000;
/// A logline of fewer characters takes the next sentence too.
const SHORT_LOGLINE: usize = 120;

/// What was left out of films that were taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Adjustments {
    /// Genre words that are not in our vocabulary, and how often; the first hundred words.
    pub unknown_genres: BTreeMap<String, u64>,
    /// Films with more than eight genres.
    pub genres_cut: u64,
    /// Films with more than a hundred names.
    pub casts_cut: u64,
    /// Names that were empty or longer than 200 characters.
    pub names_left_out: u64,
    /// Extracts longer than 5,000 characters.
    pub synopses_cut: u64,
}

impl Adjustments {
    const MAX_WORDS: usize = 100;

    fn unknown_genre(&mut self, word: &str) {
        let word: String = word.chars().filter(|c| !c.is_control()).take(40).collect();
        if self.unknown_genres.len() < Self::MAX_WORDS || self.unknown_genres.contains_key(&word) {
            *self.unknown_genres.entry(word).or_default() += 1;
        }
    }
}

/// Maps records; counts what it leaves out.
#[derive(Debug)]
pub(super) struct Mapper {
    catalogue: Account,
    /// The latest date of publication.
    today: OffsetDateTime,
    pub(super) adjustments: Adjustments,
}

impl Mapper {
    /// `None` if no user name can be made of `catalogue`, the account of films without a cast.
    pub(super) fn new(catalogue: &str, now: OffsetDateTime) -> Option<Self> {
        Username::from_person(catalogue)?;
        Some(Self {
            catalogue: account(catalogue)?,
            today: now.replace_time(time::Time::MIDNIGHT),
            adjustments: Adjustments::default(),
        })
    }

    /// The film, or why it is refused.
    pub(super) fn film(&mut self, record: &Record) -> Result<Film, String> {
        let title = text::required_line(&record.title, MAX_TITLE).map_err(|e| field("title", e))?;
        let release_year = i16::try_from(record.year)
            .ok()
            .filter(|year| (1870..=2200).contains(year))
            .ok_or_else(|| format!("year: {} is not between 1870 and 2200", record.year))?;
        let href = text::line(record.href.as_deref().unwrap_or(""), MAX_HREF)
            .map_err(|e| field("href", e))?;
        let extract = record.extract.as_deref().unwrap_or("");
        let extract = text::paragraphs(extract, usize::MAX).map_err(|e| field("extract", e))?;
        let cast = self.cast(&record.cast)?;
        let creator = cast.iter().find_map(|name| account(person(name)?));

        let natural_key = natural_key(&href, &title, release_year, creator.as_ref());
        let synopsis = sentences::cut(&extract, MAX_SYNOPSIS);
        self.adjustments.synopses_cut += u64::from(synopsis.len() < extract.len());
        let genres = self.genres(&record.genres);
        let published_at = self.published_at(release_year, &natural_key);
        let mut film = Film {
            id: derived_id("pitch", &natural_key, published_at).into(),
            content_hash: [0; 32],
            creator: creator.unwrap_or_else(|| self.catalogue.clone()),
            title,
            logline: sentences::opening(&extract, SHORT_LOGLINE, MAX_LOGLINE),
            synopsis,
            format: if genres.contains(&Genre::Short) {
                Format::Short
            } else if genres.contains(&Genre::Documentary) {
                Format::Documentary
            } else {
                Format::Feature
            },
            genres,
            release_year,
            cast,
            published_at,
            natural_key,
        };
        film.content_hash = content_hash(&film);
        Ok(film)
    }

    fn cast(&mut self, names: &[String]) -> Result<Vec<String>, String> {
        let mut cast: Vec<String> = Vec::with_capacity(names.len().min(MAX_CAST));
        for name in names {
            match text::required_line(name, MAX_NAME) {
                Ok(_) if cast.len() == MAX_CAST => {
                    self.adjustments.casts_cut += 1;
                    break;
                }
                Ok(name) => cast.push(name),
                Err(TextError::Empty | TextError::TooLong { .. }) => {
                    self.adjustments.names_left_out += 1;
                }
                Err(error @ TextError::Control { .. }) => return Err(field("cast", error)),
            }
        }
        Ok(cast)
    }

    fn genres(&mut self, words: &[String]) -> Vec<Genre> {
        let mut genres = Vec::with_capacity(words.len().min(MAX_GENRES));
        for word in words {
            match genre(word) {
                None => self.adjustments.unknown_genre(word),
                Some(genre) if genres.contains(&genre) => {}
                Some(_) if genres.len() == MAX_GENRES => {
                    self.adjustments.genres_cut += 1;
                    break;
                }
                Some(genre) => genres.push(genre),
            }
        }
        genres
    }

    fn published_at(&self, year: i16, natural_key: &str) -> OffsetDateTime {
        const SECONDS_OF_A_YEAR: u64 = 365 * 86_400;
        let start = Date::from_calendar_date(year.into(), Month::January, 1)
            .map_or(self.today, |day| day.midnight().assume_utc());
        let mut pick = [0; 8];
        pick.copy_from_slice(&digest("published", natural_key)[..8]);
        let offset = u64::from_be_bytes(pick) % SECONDS_OF_A_YEAR;
        (start + Duration::seconds(offset.cast_signed())).min(self.today)
    }
}

fn field(name: &str, error: TextError) -> String {
    format!("{name}: {error}")
}

/// The genre that a foreign word means.
fn genre(word: &str) -> Option<Genre> {
    let folded: String = word
        .trim()
        .chars()
        .flat_map(char::to_lowercase)
        .map(|c| if c == ' ' || c == '-' { '_' } else { c })
        .collect();
    match folded.as_str() {
        "sport" => Some(Genre::Sports),
        "sci_fi" => Some(Genre::ScienceFiction),
        "animation" => Some(Genre::Animated),
        other => other.parse().ok(),
    }
}

/// The person whom an entry of a cast names, without a note such as "(narrator)". Entries that are no names
/// ("voices of", "the life of") have no capital letter.
fn person(entry: &str) -> Option<&str> {
    let mut name = entry;
    while let Some((before, _)) = name
        .strip_suffix(')')
        .and_then(|rest| rest.rsplit_once('('))
    {
        name = before.trim_end();
    }
    let is_name = name
        .chars()
        .any(|c| c.is_uppercase() || c.is_numeric() || (c.is_alphabetic() && !c.is_lowercase()));
    is_name.then_some(name)
}

/// The account of a person. `None` if the name has neither letters nor digits.
fn account(name: &str) -> Option<Account> {
    if !name.chars().any(char::is_alphanumeric) {
        return None;
    }
    let folded: String = name
        .nfkd()
        .filter(|c| !unicode_normalization::char::is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .collect();
    let username = match Username::from_person(name) {
        // A name in letters that user names cannot have.
        None => suffixed("person", &folded)?,
        // Two long names may begin alike.
        Some(cut) if folded.chars().count() > Username::MAX => suffixed(cut.as_str(), &folded)?,
        Some(username) => username,
    };
    Some(Account {
        id: derived_id("person", username.as_str(), OffsetDateTime::UNIX_EPOCH).into(),
        long_username: suffixed(username.as_str(), "long")?,
        username,
        display_name: name.chars().take(MAX_DISPLAY_NAME).collect(),
    })
}

/// `stem` with eight digits that follow from it and `salt`.
fn suffixed(stem: &str, salt: &str) -> Option<Username> {
    const STEM: usize = Username::MAX - 9;
    let digest = digest(stem, salt);
    let digits = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    // User names are ASCII, so bytes are characters.
    let stem = stem[..stem.len().min(STEM)].trim_end_matches(['-', '_']);
    format!("{stem}-{digits:08x}").parse().ok()
}

fn natural_key(href: &str, title: &str, year: i16, creator: Option<&Account>) -> String {
    let key = if href.is_empty() {
        let first_billed = creator.map(|account| account.username.as_str());
        serde_json::json!([null, title, year, first_billed]).to_string()
    } else {
        serde_json::json!([href, title, year]).to_string()
    };
    if key.chars().count() <= MAX_KEY {
        key
    } else {
        let digest = Sha256::digest(&key);
        let (head, tail) = digest.split_at(16);
        let number = |half: &[u8]| {
            half.iter()
                .fold(0_u128, |n, &byte| n << 8 | u128::from(byte))
        };
        format!("sha256:{:032x}{:032x}", number(head), number(tail))
    }
}

/// A version 7 id whose random part follows from the key: the same film has the same id everywhere.
fn derived_id(kind: &str, key: &str, at: OffsetDateTime) -> Uuid {
    let milliseconds = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    let mut random = [0; 10];
    random.copy_from_slice(&digest(kind, key)[..10]);
    Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid()
}

fn digest(kind: &str, key: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [SOURCE, kind, key] {
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize().into()
}

/// What a change of the film changes here. Lengths stand before the parts, so that no text can move from one
/// to the next unseen.
fn content_hash(film: &Film) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    part(&film.title);
    part(&film.logline);
    part(&film.synopsis);
    part(film.format.as_str());
    part(&film.release_year.to_string());
    part(&film.genres.len().to_string());
    for genre in &film.genres {
        part(genre.as_str());
    }
    for name in &film.cast {
        part(name);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
