//! Events for figures: what visitors did in the last month, what their browsers measured in the last week.

use super::people::pause;
use super::pitches::pitch;
use super::random::{Purpose, Random, to_i64};
use super::world::{DAY_US, World, id};
use pitchey_store_pg::bulk::CopyRows;
use pitchey_store_pg::bulk::rows::{AnalyticsRow, CopyRow as _, RumRow};
use std::ops::Range;

pub(super) const ANALYTICS_DAYS: i64 = 30;
pub(super) const RUM_DAYS: i64 = 7;

const ROUTES: &[&str] = &[
    "/",
    "/browse",
    "/search",
    "/pitches/{id}",
    "/creators/{username}",
    "/dashboard",
];
const EDGES: &[&str] = &["fra", "lhr", "iad", "sfo", "gru", "bom", "nrt", "syd"];
const CONNECTIONS: &[&str] = &["4g", "4g", "4g", "3g", "wifi", "ethernet"];

/// Half as many as pitches, 500,000 at most.
pub(super) fn analytics_count(pitches: u64) -> u64 {
    (pitches / 2).clamp(200, 500_000)
}

/// A quarter as many as pitches, 250,000 at most.
pub(super) fn rum_count(pitches: u64) -> u64 {
    (pitches / 4).clamp(200, 250_000)
}

/// A moment within the last `days`; those of higher indexes are later.
fn moment(world: &World, index: u64, count: u64, days: i64, random: &mut Random) -> i64 {
    let share = (index as f64 + random.unit()) / count as f64;
    world.until_us - days * DAY_US + to_i64(share * (days * DAY_US) as f64)
}

/// Adds events of visitors.
pub(super) fn write_analytics(world: &World, range: Range<u64>, rows: &mut CopyRows) {
    let count = analytics_count(world.pitches);
    for index in range {
        let mut random = world.random(Purpose::Analytics, index);
        let occurred_at = moment(world, index, count, ANALYTICS_DAYS, &mut random);
        let (kind, of_pitch) = random.pick(&[
            ("page.view", false),
            ("pitch.view", true),
            ("pitch.view", true),
            ("pitch.save", true),
            ("pitch.share", true),
            ("search.run", false),
            ("filter.change", false),
        ]);
        let about = of_pitch.then(|| pitch(world, world.popular_pitch(&mut random)));
        let about =
            about.filter(|pitch| pitch.is_listed() && pitch.published_at <= Some(occurred_at));
        let path = match &about {
            Some(pitch) => format!("/pitches/{}", pitch.id),
            None if of_pitch => continue,
            None => random.pick(&["/", "/browse", "/search"]).to_owned(),
        };
        AnalyticsRow {
            id: id(occurred_at, &mut random),
            occurred_at,
            kind,
            user_id: random
                .chance(0.3)
                .then(|| world.user_id(world.buyer_at(occurred_at, &mut random))),
            pitch_id: about.map(|pitch| pitch.id),
            client_key: random.bytes(),
            path: &path,
        }
        .write(rows);
    }
}

/// Adds measurements of browsers.
pub(super) fn write_rum(world: &World, range: Range<u64>, rows: &mut CopyRows) {
    let count = rum_count(world.pitches);
    for index in range {
        let mut random = world.random(Purpose::Rum, index);
        let occurred_at = moment(world, index, count, RUM_DAYS, &mut random);
        let (metric, typical) = random.pick(&[
            ("lcp", 900.0),
            ("inp", 80.0),
            ("cls", 0.02),
            ("fcp", 500.0),
            ("ttfb", 120.0),
        ]);
        // Half of the values lie above the typical one, a few far above.
        let spread = pause(&mut random) as f64 / 62e6;
        RumRow {
            id: id(occurred_at, &mut random),
            occurred_at,
            metric,
            value: (typical * spread).min(599_999.0),
            route: random.pick(ROUTES),
            edge_location: random.pick(EDGES),
            connection: random.pick(CONNECTIONS),
        }
        .write(rows);
    }
}
