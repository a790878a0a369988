//! The promise, put to the test: readers, writers, nodes, a shared tier and a lagging copy of the source
//! in a world where a seed decides what happens when, what is lost, and what dies.
//!
//! The engine is the real one; only time, the network, the tier behind it and the source are made up.
//! Each schedule plays a few seconds of faults, then heals everything and asks for every page once more.
//!
//! What is checked of each read, by versions: nothing is older than
//! - what was invalidated on the same node before the read began, whether or not that was acknowledged;
//! - what was invalidated, and acknowledged, on any node before the read began, if the answer came from
//!   the shared tier or the source; within [`NodeConfig::silence`](crate::NodeConfig) before it, if it
//!   came from memory or from a load that was joined;
//! - at the end, when all has healed, what was committed last.

mod checker;
pub(crate) mod memory;
mod play;
mod source;
pub(crate) mod tier;
pub(crate) mod world;

use crate::guard::Guards;

pub use checker::{Violation, Wrong};

/// What a schedule has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// Reads that were answered and checked.
    pub reads: u64,
    /// Reads that got an error.
    pub failed: u64,
    /// Versions that were committed.
    pub commits: u64,
    /// Invalidations that were acknowledged.
    pub acknowledged: u64,
    /// Invalidations that were not.
    pub unacknowledged: u64,
    /// Steps of tasks: how long the schedule is.
    pub steps: u64,
}

impl Played {
    /// Adds another schedule.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            reads: self.reads + other.reads,
            failed: self.failed + other.failed,
            commits: self.commits + other.commits,
            acknowledged: self.acknowledged + other.acknowledged,
            unacknowledged: self.unacknowledged + other.unacknowledged,
            steps: self.steps + other.steps,
        }
    }
}

/// Plays the schedule of a seed with these guards.
pub fn play(seed: u64, guards: Guards) -> Result<Played, Box<Violation>> {
    // What happens is only written down for schedules that are worth reading: they are played again.
    match play::play(seed, guards, false) {
        Ok(played) => Ok(played),
        Err(_) => play::play(seed, guards, true),
    }
}

#[cfg(test)]
mod tests;
