//! Pitches: the public part as lists and readers see it, and the whole as its creator does.

use crate::{
    Format, Genre, MediaId, Money, PitchId, PitchStatus, Stage, UserId, Username, Visibility,
};
use time::OffsetDateTime;

/// A person as pages name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The account.
    pub id: UserId,
    /// Its name in addresses.
    pub username: Username,
    /// Its name on pages.
    pub display_name: String,
}

/// A pitch as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PitchCard {
    /// The pitch.
    pub id: PitchId,
    /// Its title.
    pub title: String,
    /// What it is about, in a sentence.
    pub logline: String,
    /// What it is like.
    pub genres: Vec<Genre>,
    /// What is to be made.
    pub format: Format,
    /// How far it is.
    pub stage: Stage,
    /// Who may read the rest.
    pub visibility: Visibility,
    /// The year of release, past or planned.
    pub release_year: Option<i16>,
    /// Its picture.
    pub cover: Option<MediaId>,
    /// Who pitches.
    pub creator: Person,
    /// Since when it is on the site.
    pub published_at: OffsetDateTime,
    /// How often it was looked at.
    pub view_count: i64,
}

/// The public part of a pitch, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PitchDetail {
    /// What lists show.
    pub card: PitchCard,
    /// The public synopsis.
    pub synopsis: String,
    /// Who plays.
    pub cast: Vec<String>,
    /// The last change.
    pub updated_at: OffsetDateTime,
    /// Goes up with every change.
    pub version: i64,
}

/// A pitch, whole: as its creator sees it, and in its protected part whoever may read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pitch {
    /// The pitch.
    pub id: PitchId,
    /// Who pitches.
    pub creator: Person,
    /// What its creator wrote.
    pub content: PitchContent,
    /// Its picture.
    pub cover: Option<MediaId>,
    /// Where it is in its life.
    pub status: PitchStatus,
    /// Since when it is on the site, or was last.
    pub published_at: Option<OffsetDateTime>,
    /// Since when it is off it.
    pub archived_at: Option<OffsetDateTime>,
    /// Since when it is there at all.
    pub created_at: OffsetDateTime,
    /// The last change.
    pub updated_at: OffsetDateTime,
    /// Goes up with every change.
    pub version: i64,
    /// How often it was looked at.
    pub view_count: i64,
}

/// What a creator writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PitchContent {
    /// The title.
    pub title: String,
    /// What it is about, in a sentence.
    pub logline: String,
    /// The public synopsis.
    pub synopsis: String,
    /// What it is like.
    pub genres: Vec<Genre>,
    /// What is to be made.
    pub format: Format,
    /// How far it is.
    pub stage: Stage,
    /// The year of release, past or planned.
    pub release_year: Option<i16>,
    /// Who plays.
    pub cast: Vec<String>,
    /// Who may read it once it is published.
    pub visibility: Visibility,
    /// Protected: the whole story.
    pub full_synopsis: String,
    /// Protected: what it costs.
    pub budget: Option<Money>,
}

impl PitchContent {
    /// The most characters of the title.
    pub const MAX_TITLE: usize = 200;
    /// The most characters of the logline.
    pub const MAX_LOGLINE: usize = 500;
    /// The most characters of the public synopsis.
    pub const MAX_SYNOPSIS: usize = 5000;
    /// The most characters of the protected synopsis.
    pub const MAX_FULL_SYNOPSIS: usize = 50_000;
    /// The most genres.
    pub const MAX_GENRES: usize = 8;
    /// The most names of the cast.
    pub const MAX_CAST: usize = 100;
    /// The most characters of a name of the cast.
    pub const MAX_CAST_NAME: usize = 120;
    /// The years that a release can be in.
    pub const RELEASE_YEARS: std::ops::RangeInclusive<i16> = 1870..=2200;

    /// What a pitch on the site must have and this one has not, by name of the field.
    pub fn missing_for_publication(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        if self.logline.is_empty() {
            missing.push("logline");
        }
        if self.genres.is_empty() {
            missing.push("genres");
        }
        missing
    }
}

/// A change of what a creator wrote: what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PitchChange {
    /// The title.
    pub title: Option<String>,
    /// What it is about, in a sentence.
    pub logline: Option<String>,
    /// The public synopsis.
    pub synopsis: Option<String>,
    /// What it is like.
    pub genres: Option<Vec<Genre>>,
    /// What is to be made.
    pub format: Option<Format>,
    /// How far it is.
    pub stage: Option<Stage>,
    /// The year of release; `Some(None)` takes it away.
    pub release_year: Option<Option<i16>>,
    /// Who plays.
    pub cast: Option<Vec<String>>,
    /// Who may read it.
    pub visibility: Option<Visibility>,
    /// The whole story.
    pub full_synopsis: Option<String>,
    /// What it costs; `Some(None)` takes it away.
    pub budget: Option<Option<Money>>,
}

impl PitchChange {
    /// The content after the change.
    pub fn apply(self, to: &mut PitchContent) {
        fn set<T>(to: &mut T, new: Option<T>) {
            if let Some(new) = new {
                *to = new;
            }
        }
        set(&mut to.title, self.title);
        set(&mut to.logline, self.logline);
        set(&mut to.synopsis, self.synopsis);
        set(&mut to.genres, self.genres);
        set(&mut to.format, self.format);
        set(&mut to.stage, self.stage);
        set(&mut to.release_year, self.release_year);
        set(&mut to.cast, self.cast);
        set(&mut to.visibility, self.visibility);
        set(&mut to.full_synopsis, self.full_synopsis);
        set(&mut to.budget, self.budget);
    }
}
