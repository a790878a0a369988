//! Regions: databases near readers, whose public reads the edge answers itself.
//!
//! [`Regions`] knows where each is and how it is, asks the nearest that may answer, and one more if that one
//! fails; what they do not answer is the origin's. Nothing here waits without a deadline, or asks what is
//! known to be away.

mod colos;
mod place;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{StatusCode, Uri};
use pitchey_api::{RegionalAnswer, RegionalReads};
use pitchey_model::WalPosition;
use pitchey_resilience::{Breaker, BreakerConfig, Phase};
use pitchey_runtime::{Clock, Monotonic, Timer, timeout};

pub use place::{Place, nearest};

/// How many regions one read asks at most.
const TRIES: usize = 2;

/// How long a replica that lags behind is not asked for what it did not have.
const BEHIND: Duration = Duration::from_millis(50);

/// When a region is left alone: it is near, or it would not be asked, and the origin is there.
const BREAKER: BreakerConfig = BreakerConfig {
    window: Duration::from_secs(5),
    calls: 100,
    minimum_calls: 3,
    failure_percent: 50,
    slow_call: Duration::from_millis(500),
    slow_percent: 80,
    half_open_calls: 2,
    open: Duration::from_millis(500),
    longest_open: Duration::from_secs(5),
};

/// What is wrong with the name of a region, if anything: answers and the log are to say it.
pub fn wrong_name(name: &str) -> Option<&'static str> {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_plain = name.bytes().all(|byte| is_letter(byte) || byte == b'-');
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
    if name.len() > 32 || !is_plain || !begins {
        return Some("is not of up to 32 small letters, digits and -");
    }
    ["origin", "memory", "redis", "kv"]
        .contains(&name)
        .then_some("means something else")
}

/// How far a database is told to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Up to where it has replayed; the greatest there is from one that is no replica.
    pub replayed: WalPosition,
    /// How often it has told something.
    pub times: u64,
}

/// The public reads of one database.
pub trait Reads: Send + Sync + 'static {
    /// The answer to a read in this coding, for the request of this id, that has seen everything up to `after`;
    /// `None` if there is no whole one.
    fn answer<'a>(
        &'a self,
        target: &'a Uri,
        coding: &'static str,
        id: &'a str,
        after: WalPosition,
    ) -> BoxFuture<'a, Option<RegionalAnswer>>;
}

impl Reads for RegionalReads {
    fn answer<'a>(
        &'a self,
        target: &'a Uri,
        coding: &'static str,
        id: &'a str,
        after: WalPosition,
    ) -> BoxFuture<'a, Option<RegionalAnswer>> {
        Box::pin(Self::answer(self, target, coding, id, after))
    }
}

/// A database near readers.
pub struct Region {
    name: Arc<str>,
    place: Place,
    reads: Box<dyn Reads>,
    told: Box<dyn Fn() -> Told + Send + Sync>,
    breaker: Breaker,
    state: Mutex<State>,
}

impl std::fmt::Debug for Region {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Region")
            .field("name", &self.name)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    probe: Option<bool>,
    behind: Option<(WalPosition, Monotonic)>,
}

/// What is known of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionStatus {
    /// Whether the last probe succeeded; `None` if there was none.
    pub probe: Option<bool>,
    /// Whether its breaker refuses reads.
    pub open: bool,
    /// How far it is.
    pub told: Told,
}

/// What is asked of a region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) target: &'a Uri,
    pub(crate) coding: &'static str,
    pub(crate) id: &'a str,
    /// What the answer must have seen.
    pub(crate) after: WalPosition,
    /// Where the one who asks is.
    pub(crate) from: Option<Place>,
}

/// What a region has answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) region: Arc<str>,
    pub(crate) answer: RegionalAnswer,
    pub(crate) took: Duration,
}

/// How one attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    /// There is something to be said that the origin says.
    NotHere,
    Behind,
    Failed,
}

impl Region {
    /// A region by its name, with the reads of its database and a way to ask how far that is told to be.
    pub fn new(
        name: &str,
        place: Place,
        reads: impl Reads,
        told: impl Fn() -> Told + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            place,
            reads: Box::new(reads),
            told: Box::new(told),
            breaker: Breaker::new(BREAKER),
            state: Mutex::default(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A probe has come back, or has not; whether that is news.
    pub fn probed(&self, is_well: bool) -> bool {
        self.state().probe.replace(is_well) != Some(is_well)
    }

    /// What is known of it.
    pub fn status(&self) -> RegionStatus {
        RegionStatus {
            probe: self.state().probe,
            open: matches!(self.breaker.phase(), Phase::Open | Phase::ForcedOpen),
            told: (self.told)(),
        }
    }

    /// Whether it may be asked for what has seen this.
    fn may_answer(&self, after: WalPosition, now: Monotonic) -> bool {
        let State { probe, behind } = *self.state();
        let lags = behind.is_some_and(|(position, at)| after >= position && now < at + BEHIND);
        probe != Some(false) && !lags
    }

    /// What an attempt has come to, by its answer and by how often the database had told something before.
    fn outcome(&self, answer: Option<&RegionalAnswer>, after: WalPosition, times: u64) -> Outcome {
        match answer.map(|answer| answer.status) {
            Some(StatusCode::OK) => Outcome::Answered,
            Some(status) if !status.is_server_error() => Outcome::NotHere,
            _ => {
                let told = (self.told)();
                let is_behind = told.times != times && told.replayed < after;
                if is_behind {
                    Outcome::Behind
                } else {
                    Outcome::Failed
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic happens between two changes of it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All regions, the primary first.
#[derive(Debug)]
pub struct Regions {
    all: Vec<Arc<Region>>,
    /// Where this edge is, for those of whom it is not told where they are.
    here: Option<Place>,
    patience: Duration,
}

impl Regions {
    /// These, each of which may take so long for an answer. `here` is where this edge is, if that is known.
    pub fn new(all: Vec<Arc<Region>>, here: Option<Place>, patience: Duration) -> Self {
        Self {
            all,
            here,
            patience,
        }
    }

    /// All of them.
    pub fn all(&self) -> &[Arc<Region>] {
        &self.all
    }

    /// What the nearest region answers that may, if it is whole and good; else it is for the origin to answer.
    pub(crate) async fn read(
        &self,
        world: &(impl Clock + Timer),
        ask: Ask<'_>,
    ) -> Option<Answered> {
        let places: Vec<Place> = self.all.iter().map(|region| region.place).collect();
        let mut tries = 0;
        for index in nearest(&places, ask.from.or(self.here)) {
            let region = &self.all[index];
            let began = world.now();
            if !region.may_answer(ask.after, began) {
                continue;
            }
            let Ok(call) = region.breaker.admit(began) else {
                continue;
            };
            let times = (region.told)().times;
            let asking = region
                .reads
                .answer(ask.target, ask.coding, ask.id, ask.after);
            let answer = timeout(world, self.patience, asking).await.ok().flatten();
            let now = world.now();
            match region.outcome(answer.as_ref(), ask.after, times) {
                Outcome::Answered => {
                    call.succeeded(now);
                    return answer.map(|answer| Answered {
                        region: region.name.clone(),
                        answer,
                        took: now.since(began),
                    });
                }
                Outcome::NotHere => {
                    call.succeeded(now);
                    return None;
                }
                Outcome::Behind => {
                    call.succeeded(now);
                    region.state().behind = Some((ask.after, now));
                }
                Outcome::Failed => call.failed(now),
            }
            tries += 1;
            if tries == TRIES {
                break;
            }
        }
        None
    }
}
