//! What is asked for, and when: a made-up day, from noon to noon, drawn together.

use crate::Options;
use pitchey_cache::trace::{Act, Request, Trace, TraceConfig};
use std::collections::BTreeSet;
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);
const NOON: Duration = Duration::from_hours(12);

/// How much more than the average there is at the busiest hour, and how much less at the quietest.
const WAVE: f64 = 0.6;

/// Something to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    /// A reader asks for a page of a list.
    List {
        reader: u32,
        page: u32,
    },
    Pitch {
        crawls: bool,
        pitch: u32,
    },
    /// A pitch is changed by whom it belongs to.
    Edit(u32),
    /// A pitch is made and published.
    Publish(u32),
}

pub(crate) struct Script {
    /// What is due when, in order.
    pub(crate) deeds: Vec<(Duration, Deed)>,
    /// Pitches that are there at the beginning; those with greater numbers are published.
    pub(crate) pitches: u32,
    /// Those of them that are edited.
    pub(crate) edited: BTreeSet<u32>,
}

impl Script {
    pub(crate) fn new(options: &Options) -> Self {
        let lasts = Duration::from_secs(u64::from(options.seconds));
        let requests = options.rate.saturating_mul(options.seconds);
        let config = TraceConfig {
            seed: options.seed,
            // Two halves: what is new is among the others from midnight on.
            days: 2,
            requests,
            pitches: options.pitches,
            edits: requests / 400,
            new: 50,
            ..TraceConfig::default()
        };
        let mut deeds = Vec::new();
        let mut edited = BTreeSet::new();
        for Request { at, reader, act } in Trace::new(config) {
            let Some(at) = at.checked_sub(NOON).filter(|at| *at < DAY) else {
                continue;
            };
            let deed = match act {
                Act::List(page) => Deed::List { reader, page },
                Act::Pitch(pitch) => Deed::Pitch {
                    crawls: reader == 0,
                    pitch,
                },
                Act::Edit(pitch) => {
                    if pitch < config.pitches {
                        edited.insert(pitch);
                    }
                    Deed::Edit(pitch)
                }
            };
            deeds.push((due(at.as_secs_f64() / DAY.as_secs_f64(), lasts), deed));
        }
        // Spread over the hours before midnight.
        for number in 0..config.new {
            let at = due(0.45 * f64::from(number) / f64::from(config.new), lasts);
            deeds.push((at, Deed::Publish(config.pitches + number)));
        }
        deeds.sort_by_key(|(at, _)| *at);
        Self {
            deeds,
            pitches: config.pitches,
            edited,
        }
    }
}

/// When that share of the day's requests has been made: most are in the evening, a quarter of a day after noon.
fn due(share: f64, lasts: Duration) -> Duration {
    let done = |time: f64| {
        let turn = std::f64::consts::TAU * time;
        time + WAVE * (1.0 - turn.cos()) / std::f64::consts::TAU
    };
    // What is done grows with time: halving finds it.
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if done(middle) < share {
            low = middle;
        } else {
            high = middle;
        }
    }
    lasts.mul_f64(low)
}
