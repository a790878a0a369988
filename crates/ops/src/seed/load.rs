//! What goes into which table, in pieces that can be made in any order.

use super::world::World;
use super::{deals, events, people, pitches};
use pitchey_store_pg::bulk::CopyRows;
use pitchey_store_pg::bulk::rows::{
    AnalyticsRow, CopyRow, FollowRow, InterestRow, NdaRow, NotificationRow, PitchRow, RumRow,
    SavedRow, SessionRow, UserRow, ViewRow,
};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

type Make = dyn Fn(Range<u64>) -> CopyRows + Send + Sync;

/// The rows of a table, or some of them.
#[derive(Clone)]
pub(super) struct Load {
    pub(super) table: &'static str,
    pub(super) columns: &'static [&'static str],
    /// There are so many indexes to make rows of.
    pub(super) count: u64,
    /// So many at a time.
    pub(super) piece: u64,
    pub(super) make: Arc<Make>,
}

impl Load {
    fn new<R: CopyRow>(
        count: u64,
        piece: u64,
        make: impl Fn(Range<u64>, &mut CopyRows) + Send + Sync + 'static,
    ) -> Self {
        Self {
            table: R::TABLE,
            columns: R::COLUMNS,
            count,
            piece,
            make: Arc::new(move |range| {
                let mut rows = CopyRows::with_capacity(1024 * 1024);
                make(range, &mut rows);
                rows
            }),
        }
    }
}

/// The words of titles and names on the site, in any spelling.
#[derive(Debug, Clone, Default)]
pub(super) struct Words(Arc<Mutex<HashSet<String>>>);

impl Words {
    fn add(&self, words: HashSet<String>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(words);
    }

    /// All of them, in order.
    pub(super) fn sorted(&self) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<String> = all.iter().cloned().collect();
        all.sort_unstable();
        all
    }
}

/// A view: when, of which pitch, by whom.
pub(super) type Views = Arc<Vec<(i64, u32, u32)>>;

/// The loads but for the views, those first that others refer to.
pub(super) fn loads(world: &Arc<World>, words: &Words) -> Vec<Load> {
    let with = |write: fn(&World, Range<u64>, &mut CopyRows)| {
        let world = Arc::clone(world);
        move |range: Range<u64>, rows: &mut CopyRows| write(&world, range, rows)
    };
    let (pitches, users) = (world.pitches, world.users);
    let pitch_rows = {
        let (world, words) = (Arc::clone(world), words.clone());
        move |range: Range<u64>, rows: &mut CopyRows| {
            let mut seen: HashSet<String> = HashSet::new();
            pitches::write_pitches(&world, range, rows, |text| {
                for word in text.split(' ') {
                    if !seen.contains(word) {
                        seen.insert(word.to_owned());
                    }
                }
            });
            words.add(seen);
        }
    };
    vec![
        Load::new::<UserRow<'_>>(users, 10_000, with(people::write_users)),
        Load::new::<PitchRow<'_>>(pitches, 5_000, pitch_rows),
        Load::new::<SavedRow>(users, 5_000, with(people::write_saves)),
        Load::new::<FollowRow>(users, 5_000, with(people::write_follows)),
        Load::new::<NdaRow<'_>>(pitches, 20_000, with(deals::write_ndas)),
        Load::new::<InterestRow<'_>>(pitches, 20_000, with(deals::write_interests)),
        Load::new::<NotificationRow<'_>>(pitches, 20_000, with(deals::write_pitch_notices)),
        Load::new::<NotificationRow<'_>>(users, 10_000, with(deals::write_follow_notices)),
        Load::new::<SessionRow<'_>>(users, 10_000, with(people::write_sessions)),
        Load::new::<AnalyticsRow<'_>>(
            events::analytics_count(pitches),
            10_000,
            with(events::write_analytics),
        ),
        Load::new::<RumRow<'_>>(events::rum_count(pitches), 10_000, with(events::write_rum)),
    ]
}

/// The load of views, which are in the order of time.
pub(super) fn views(world: &Arc<World>, views: &Views) -> Load {
    let (world, all) = (Arc::clone(world), Arc::clone(views));
    Load::new::<ViewRow>(views.len() as u64, 50_000, move |range, rows| {
        let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        pitches::write_views(&world, &all[index(range.start)..index(range.end)], rows);
    })
}
