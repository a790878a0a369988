//! Pitches and who looked at them.

use super::random::{Purpose, Random, to_i64};
use super::world::{DAY_US, World, id};
use pitchey_model::{Format, Genre, PitchStatus, Stage, Visibility};
use pitchey_store_pg::bulk::CopyRows;
use pitchey_store_pg::bulk::rows::{CopyRow as _, PitchRow, ViewRow};
use uuid::Uuid;

/// Views on average, of all pitches; drafts have none and young ones few.
const VIEWS_PER_PITCH: f64 = 4.6;
/// The exponent of Zipf's law, and how far its head is flattened.
const ZIPF: f64 = 0.85;
const ZIPF_HEAD: f64 = 10.0;
/// Below this age a pitch has not had all of its views.
const GROWN_UP_US: f64 = 60.0 * DAY_US as f64;
/// The half-life of a score, as in `trending_base`.
const HALF_LIFE_S: f64 = 3.0 * 86_400.0;
/// Views count towards a score for so long, as in `trending.refresh`.
const SCORE_DAYS: i64 = 30;

/// Genres, common ones first.
const GENRES: &[Genre] = {
    use Genre as G;
    &[
        G::Drama,
        G::Comedy,
        G::Thriller,
        G::Romance,
        G::Action,
        G::Crime,
        G::Horror,
        G::Adventure,
        G::ScienceFiction,
        G::Mystery,
        G::Fantasy,
        G::Family,
        G::Animated,
        G::Historical,
        G::War,
        G::Biography,
        G::Western,
        G::Musical,
        G::Suspense,
        G::Noir,
        G::Independent,
        G::Supernatural,
        G::Sports,
        G::Teen,
        G::Political,
        G::Satire,
        G::Spy,
        G::Superhero,
        G::Slasher,
        G::Dance,
        G::Disaster,
        G::Legal,
        G::MartialArts,
        G::Erotic,
        G::FoundFootage,
        G::LiveAction,
        G::Performance,
        G::Silent,
    ]
};
const CURRENCIES: &[&str] = &[
    "USD", "USD", "USD", "EUR", "EUR", "GBP", "INR", "JPY", "BRL", "CAD",
];

/// What a pitch is, without its texts.
#[derive(Debug)]
pub(super) struct Pitch {
    pub(super) index: u64,
    pub(super) id: Uuid,
    pub(super) creator: u64,
    pub(super) status: PitchStatus,
    pub(super) visibility: Visibility,
    pub(super) created_at: i64,
    pub(super) published_at: Option<i64>,
    pub(super) archived_at: Option<i64>,
    pub(super) deleted_at: Option<i64>,
    format: Format,
    genres: Vec<Genre>,
    stage: Stage,
    random: Random,
}

impl Pitch {
    /// Whether it is on the site.
    pub(super) fn is_listed(&self) -> bool {
        self.status == PitchStatus::Published
            && self.visibility != Visibility::Private
            && self.deleted_at.is_none()
    }

    /// From when to when it could be looked at.
    pub(super) fn public_life(&self, world: &World) -> Option<(i64, i64)> {
        let from = self
            .published_at
            .filter(|_| self.visibility != Visibility::Private)?;
        let to = self
            .archived_at
            .or(self.deleted_at)
            .unwrap_or(world.until_us);
        (from < to).then_some((from, to))
    }
}

/// A look at a pitch.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    pub(super) at_us: i64,
    pub(super) viewer: u32,
}

pub(super) fn pitch(world: &World, index: u64) -> Pitch {
    let mut random = world.random(Purpose::Pitch, index);
    let created_at = world.pitch_since(index, &mut random);
    let id = id(created_at, &mut random);
    let creator = world.creator_at(created_at, &mut random);
    let published_at = created_at + random.wait(4.0 * DAY_US as f64);
    let archived_at = published_at + 1 + random.wait(300.0 * DAY_US as f64);
    let fate = random.below(1000);
    let (status, published_at, archived_at) = match fate {
        _ if published_at >= world.until_us => (PitchStatus::Draft, None, None),
        0..45 => (PitchStatus::Draft, None, None),
        45..95 if archived_at < world.until_us => {
            (PitchStatus::Archived, Some(published_at), Some(archived_at))
        }
        _ => (PitchStatus::Published, Some(published_at), None),
    };
    let visibility = match random.below(100) {
        0..63 => Visibility::Public,
        63..95 => Visibility::Nda,
        _ => Visibility::Private,
    };
    let last = archived_at.or(published_at).unwrap_or(created_at);
    let deleted_at = random
        .chance(0.005)
        .then(|| random.between(last, world.until_us));
    let format = match random.below(100) {
        0..55 => Format::Feature,
        55..70 => Format::Short,
        70..82 => Format::Series,
        82..90 => Format::LimitedSeries,
        90..97 => Format::Documentary,
        _ => Format::WebSeries,
    };
    let stage = random.pick(Stage::ALL);
    let genres = genres(format, &mut random);
    Pitch {
        index,
        id,
        creator,
        status,
        visibility,
        created_at,
        published_at,
        archived_at,
        deleted_at,
        format,
        genres,
        stage,
        random,
    }
}

fn genres(format: Format, random: &mut Random) -> Vec<Genre> {
    let mut genres = Vec::with_capacity(4);
    match format {
        Format::Short if random.chance(0.6) => genres.push(Genre::Short),
        Format::Documentary => genres.push(Genre::Documentary),
        _ => {}
    }
    let wanted = match random.below(20) {
        0..9 => 1,
        9..17 => 2,
        17..19 => 3,
        _ => 0,
    };
    for _ in 0..wanted {
        let genre = GENRES[random.skewed(GENRES.len(), 2.0)];
        if !genres.contains(&genre) {
            genres.push(genre);
        }
    }
    genres
}

/// Who looked at it, once for each viewer and day.
pub(super) fn views(world: &World, pitch: &Pitch) -> Vec<View> {
    let Some((from, to)) = pitch.public_life(world) else {
        return Vec::new();
    };
    let mut random = world.random(Purpose::Views, pitch.index);
    let count = world.pitches as f64;
    // The sum of the law over all ranks, by its integral.
    let power = 1.0 - ZIPF;
    let sum = ((count + ZIPF_HEAD).powf(power) - ZIPF_HEAD.powf(power)) / power;
    let share = (world.popularity_rank(pitch.index) as f64 + ZIPF_HEAD).powf(-ZIPF) / sum;
    let grown = ((to - from) as f64 / GROWN_UP_US).min(1.0);
    let wanted = random.times(VIEWS_PER_PITCH * count * share * grown);
    let viewers = usize::try_from(world.users * 8).unwrap_or(usize::MAX);
    let of_late = from.max(to - SCORE_DAYS * DAY_US);
    let mut views: Vec<View> = (0..wanted)
        .map(|_| View {
            // Most come early; some at any time of late.
            at_us: if random.chance(0.15) {
                random.between(of_late, to)
            } else {
                let share = random.unit();
                from + to_i64((to - from) as f64 * share * share)
            },
            viewer: u32::try_from(random.below(viewers)).unwrap_or(u32::MAX),
        })
        .collect();
    views.sort_unstable_by_key(|view| (view.at_us.div_euclid(DAY_US), view.viewer, view.at_us));
    views.dedup_by_key(|view| (view.at_us.div_euclid(DAY_US), view.viewer));
    views
}

/// The score that `trending.refresh` gives at the end of the generated time.
fn trending_score(world: &World, published_at: i64, views: &[View]) -> f64 {
    let half_lives = |at_us: i64| at_us as f64 / 1e6 / HALF_LIFE_S;
    let base = half_lives(published_at);
    let since = (world.until_us.div_euclid(DAY_US) - SCORE_DAYS) * DAY_US;
    let mut late = views.iter().filter(|view| view.at_us >= since).peekable();
    if late.peek().is_none() {
        return base;
    }
    let now = half_lives(world.until_us);
    let looked_at: f64 = late.map(|view| (half_lives(view.at_us) - now).exp2()).sum();
    now + ((base - now).max(-60.0).exp2() + looked_at).log2()
}

/// The title of a pitch, without the rest of it.
pub(super) fn title(world: &World, index: u64) -> String {
    let text = &mut world.random(Purpose::Text, index);
    world.vocabulary.title(text)
}

/// Adds the rows of the pitches in `range`; tells `seen` the words of those on the site.
pub(super) fn write_pitches(
    world: &World,
    range: std::ops::Range<u64>,
    rows: &mut CopyRows,
    mut seen: impl FnMut(&str),
) {
    for index in range {
        let pitch = pitch(world, index);
        let views = views(world, &pitch);
        let text = &mut world.random(Purpose::Text, index);
        let words = &world.vocabulary;
        let title = words.title(text);
        let logline = words.logline(text);
        let sentences = 2 + text.below(4);
        let synopsis = words.prose(text, sentences);
        let names = if text.chance(0.2) {
            0
        } else {
            1 + text.below(5)
        };
        let cast: Vec<String> = (0..names).map(|_| words.name(text)).collect();
        let full_synopsis = if text.chance(0.85) {
            let sentences = 2 + text.below(3);
            words.prose(text, sentences)
        } else {
            String::new()
        };
        if pitch.is_listed() {
            seen(&title);
            for name in &cast {
                seen(name);
            }
        }
        let mut random = pitch.random.clone();
        let last = pitch
            .archived_at
            .or(pitch.published_at)
            .unwrap_or(pitch.created_at);
        let updated_at = (last + random.wait(20.0 * DAY_US as f64)).min(world.until_us);
        PitchRow {
            id: pitch.id,
            creator_id: world.user_id(pitch.creator),
            title: &title,
            logline: &logline,
            synopsis: &synopsis,
            genres: &pitch.genres,
            format: pitch.format,
            stage: pitch.stage,
            release_year: release_year(world, pitch.stage, &mut random),
            cast_members: &cast,
            full_synopsis: &full_synopsis,
            budget: random.chance(0.7).then(|| budget(&mut random)),
            status: pitch.status,
            visibility: pitch.visibility,
            published_at: pitch.published_at,
            archived_at: pitch.archived_at,
            created_at: pitch.created_at,
            updated_at,
            deleted_at: pitch.deleted_at,
            version: 1 + count(random.times(1.5)),
            view_count: count(views.len()),
            trending_score: pitch.published_at.map_or(0.0, |published_at| {
                trending_score(world, published_at, &views)
            }),
        }
        .write(rows);
    }
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn release_year(world: &World, stage: Stage, random: &mut Random) -> Option<i16> {
    let this_year = 1970 + world.until_us.div_euclid(DAY_US) * 400 / 146_097;
    let year = match stage {
        Stage::Completed => this_year - count(random.below(4)),
        Stage::Production | Stage::PostProduction => this_year + count(random.below(2)),
        _ if random.chance(0.4) => this_year + 1 + count(random.below(4)),
        _ => return None,
    };
    i16::try_from(year).ok()
}

/// From 20,000 to 100 million in whole thousands, small ones more often.
pub(super) fn budget(random: &mut Random) -> (i64, &'static str) {
    let thousands = to_i64(20.0 * 5000_f64.powf(random.unit()));
    (thousands * 100_000, random.pick(CURRENCIES))
}

/// The views of all pitches, in the order of time: so they would have come in, and the index by time needs it.
pub(super) fn all_views(world: &World, range: std::ops::Range<u64>) -> Vec<(i64, u32, u32)> {
    let mut all = Vec::new();
    for index in range {
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let found = views(world, &pitch(world, index));
        all.extend(found.iter().map(|view| (view.at_us, number, view.viewer)));
    }
    all
}

/// Adds the rows of views.
pub(super) fn write_views(world: &World, views: &[(i64, u32, u32)], rows: &mut CopyRows) {
    for &(viewed_at, pitch, viewer) in views {
        let mut random = world.random(Purpose::Pitch, pitch.into());
        let created_at = world.pitch_since(pitch.into(), &mut random);
        ViewRow {
            pitch_id: id(created_at, &mut random),
            day: viewed_at.div_euclid(DAY_US),
            viewer_key: world.random(Purpose::Viewer, viewer.into()).bytes(),
            viewed_at,
        }
        .write(rows);
    }
}
