//! The promise, put to the test: clients, nodes and a log in a world where a seed decides what happens
//! when, what is lost, what comes twice or in another order, and what dies.
//!
//! The rooms are the real ones; only the log's network, the connections and the time are made up. Each
//! schedule plays some seconds of faults, then heals everything and waits until nothing moves.
//!
//! What is checked of each client and room: an update it is sent is the next one after the last it saw,
//! in the epoch it was told, and says what was published there; what it recovers is all that it missed,
//! in order; and in the end it has seen the newest, unless it was told to load anew.

mod client;
mod world;

use crate::guard::{Guard, Guards};
use world::{Played, World};

/// Schedules of a test run.
const SCHEDULES: u64 = 3_000;

/// Within so many schedules a guard that is off must show.
const ENOUGH: u64 = 20_000;

fn play(seed: u64, guards: Guards) -> Result<Played, String> {
    World::new(seed, guards)
        .play()
        .map_err(|wrong| format!("seed {seed}: {wrong}"))
}

#[test]
fn no_schedule_breaks_the_promise() {
    let mut all = Played::default();
    for seed in 0..SCHEDULES {
        let played = play(seed, Guards::default()).unwrap_or_else(|wrong| panic!("{wrong}"));
        all = all.and(played);
    }
    eprintln!("{all:?}");
    // A schedule in which nothing happens would prove nothing.
    assert!(all.updates > 100 * SCHEDULES, "{all:?}");
    assert!(
        all.recovered > SCHEDULES && all.unrecovered > SCHEDULES,
        "{all:?}"
    );
    assert!(
        all.gaps > SCHEDULES / 10 && all.unavailable > SCHEDULES / 100,
        "{all:?}"
    );
}

#[test]
fn a_schedule_is_the_same_each_time() {
    let once = play(7, Guards::default()).expect("no violation");
    assert_eq!(once, play(7, Guards::default()).expect("no violation"));
}

#[test]
fn without_any_single_guard_the_promise_is_broken() {
    for guard in Guard::ALL {
        let guards = Guards { off: Some(guard) };
        let broken = (0..ENOUGH).find_map(|seed| play(seed, guards).err());
        let wrong = broken.unwrap_or_else(|| panic!("{guard:?} is not needed"));
        eprintln!("{guard:?}: {wrong}");
    }
}
