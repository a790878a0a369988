//! Pitches as readers see them: the public part.

use crate::{Format, Genre, MediaId, PitchId, Stage, UserId, Username, Visibility};
use time::OffsetDateTime;

/// Who pitches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creator {
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
    pub creator: Creator,
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
