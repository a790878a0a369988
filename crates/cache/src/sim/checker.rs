//! What was promised, against what was read.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pitchey_runtime::Monotonic;

use super::Played;
use super::source::{CREATORS, Object, Page};
use crate::answer::{From, State};

/// A read that broke the promise, in a schedule that can be played again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The seed of the schedule.
    pub seed: u64,
    /// What was wrong.
    pub wrong: Wrong,
    /// What happened, in order.
    pub schedule: Vec<String>,
}

/// What was wrong with a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrong {
    /// The node that was asked.
    pub node: usize,
    /// The pitch that was asked for.
    pub pitch: usize,
    /// The version of what was read.
    pub got: u64,
    /// The version that had to be there at least.
    pub wanted: u64,
    /// Whether it is about the name of the creator.
    pub of_creator: bool,
}

impl fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node,
            pitch,
            got,
            wanted,
            of_creator,
        } = self;
        let what = if *of_creator { "its creator" } else { "it" };
        write!(
            formatter,
            "node {node} gave pitch {pitch} with version {got} of {what}, when {wanted} was promised"
        )
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "seed {}: {}", self.seed, self.wrong)?;
        self.schedule
            .iter()
            .try_for_each(|line| writeln!(formatter, "  {line}"))
    }
}

impl std::error::Error for Violation {}

/// An invalidation that was told to somebody.
#[derive(Clone, Copy, Debug)]
struct Told {
    at: Monotonic,
    node: usize,
    life: u32,
    object: Object,
    version: u64,
    acknowledged: bool,
}

/// A read, as it began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    pub(crate) at: Monotonic,
    pub(crate) node: usize,
    /// Which life of the node: what it knew before a crash is gone.
    pub(crate) life: u32,
    pub(crate) pitch: usize,
    /// How many invalidations had been told to anybody: of what happens at one instant, what came first.
    pub(crate) told: usize,
}

/// The history of a schedule.
#[derive(Clone)]
pub(crate) struct History {
    state: Arc<Mutex<Noted>>,
    silence: Duration,
    writes_down: bool,
}

#[derive(Default)]
struct Noted {
    told: Vec<Told>,
    wrong: Option<Wrong>,
    played: Played,
    schedule: Vec<String>,
}

impl History {
    pub(crate) fn new(silence: Duration, writes_down: bool) -> Self {
        Self {
            state: Arc::default(),
            silence,
            writes_down,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, at: Monotonic, what: impl FnOnce() -> String) {
        if self.writes_down {
            let ms = at.since_start().as_secs_f64() * 1e3 - 1e3;
            let line = format!("{ms:9.3} ms  {}", what());
            self.lock().schedule.push(line);
        }
    }

    pub(crate) fn committed(&self) {
        self.lock().played.commits += 1;
    }

    pub(crate) fn told(
        &self,
        at: Monotonic,
        (node, life): (usize, u32),
        (object, version): (Object, u64),
        acknowledged: bool,
    ) {
        let mut noted = self.lock();
        if acknowledged {
            noted.played.acknowledged += 1;
        } else {
            noted.played.unacknowledged += 1;
        }
        noted.told.push(Told {
            at,
            node,
            life,
            object,
            version,
            acknowledged,
        });
    }

    /// How many invalidations have been told so far.
    pub(crate) fn told_so_far(&self) -> usize {
        self.lock().told.len()
    }

    pub(crate) fn failed(&self) {
        self.lock().played.failed += 1;
    }

    pub(crate) fn read(&self, read: Read, page: Page, from: From, state: State) {
        let mut noted = self.lock();
        noted.played.reads += 1;
        let checks = [
            (Object::Pitch(read.pitch), Some(page.pitch), false),
            (Object::Creator(read.pitch % CREATORS), page.creator, true),
        ];
        for (object, got, of_creator) in checks {
            let Some(got) = got else { continue };
            let wanted = noted.wanted(object, read, from, state, self.silence);
            if got < wanted && noted.wrong.is_none() {
                noted.wrong = Some(Wrong {
                    node: read.node,
                    pitch: read.pitch,
                    got,
                    wanted,
                    of_creator,
                });
            }
        }
    }

    /// When all has healed, nothing but the newest will do.
    pub(crate) fn last_read(&self, read: Read, page: Page, newest: impl Fn(Object) -> u64) {
        let mut noted = self.lock();
        let creator = Object::Creator(read.pitch % CREATORS);
        let checks = [
            (Some(page.pitch), newest(Object::Pitch(read.pitch)), false),
            (page.creator, newest(creator), true),
        ];
        for (got, wanted, of_creator) in checks {
            if let Some(got) = got
                && got < wanted
                && noted.wrong.is_none()
            {
                noted.wrong = Some(Wrong {
                    node: read.node,
                    pitch: read.pitch,
                    got,
                    wanted,
                    of_creator,
                });
            }
        }
    }

    pub(crate) fn outcome(&self, seed: u64, steps: u64) -> Result<Played, Box<Violation>> {
        let mut noted = self.lock();
        let played = Played {
            steps,
            ..noted.played
        };
        match noted.wrong {
            None => Ok(played),
            Some(wrong) => Err(Box::new(Violation {
                seed,
                wrong,
                schedule: std::mem::take(&mut noted.schedule),
            })),
        }
    }
}

impl Noted {
    fn wanted(
        &self,
        object: Object,
        read: Read,
        from: From,
        state: State,
        silence: Duration,
    ) -> u64 {
        let lag = match from {
            From::Shared | From::Source => Duration::ZERO,
            From::Memory | From::Coalesced => silence,
        };
        let told = self.told[..read.told].iter().filter(|told| {
            let own = told.node == read.node && told.life == read.life;
            // What nobody could vouch for says so.
            let others = told.acknowledged
                && (lag.is_zero() || told.at + lag < read.at)
                && state != State::Unverified;
            told.object == object && (own || others)
        });
        told.map(|told| told.version).max().unwrap_or(0)
    }
}
