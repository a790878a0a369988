//! The source of truth of a simulation: a primary, a copy that lags, and an outbox.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pitchey_runtime::Spawn as _;

use super::world::World;
use crate::entry::{Load, Loaded, Source, Value, Vintage};
use crate::stamp::Position;

/// Pitches that there are, or may be.
pub(crate) const PITCHES: usize = 3;
/// Their creators: pitch `n` is by creator `n % CREATORS`.
pub(crate) const CREATORS: usize = 2;

/// Something that has versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    Pitch(usize),
    Creator(usize),
}

impl Object {
    pub(crate) fn tag(self) -> Box<str> {
        match self {
            Self::Pitch(n) => format!("pitch:{n}").into(),
            Self::Creator(n) => format!("creator:{n}").into(),
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Pitch(n) => n,
            Self::Creator(n) => PITCHES + n,
        }
    }
}

/// What is cached: a pitch with the name of its creator, as their versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) pitch: u64,
    /// Of an absent pitch nobody knows the creator.
    pub(crate) creator: Option<u64>,
}

impl Value for Page {
    const SCHEMA: u16 = 1;

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.pitch.to_le_bytes());
        let creator = self.creator.map_or(u64::MAX, |version| version);
        bytes.extend_from_slice(&creator.to_le_bytes());
    }

    fn decode(bytes: bytes::Bytes) -> Option<Self> {
        let (pitch, creator) = bytes.split_first_chunk::<8>()?;
        let creator = u64::from_le_bytes(creator.try_into().ok()?);
        Some(Self {
            pitch: u64::from_le_bytes(*pitch),
            creator: (creator != u64::MAX).then_some(creator),
        })
    }

    fn weight(&self) -> usize {
        16
    }
}

/// An invalidation that a commit has left behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    pub(crate) id: usize,
    pub(crate) object: Object,
    pub(crate) version: u64,
    pub(crate) position: Position,
}

#[derive(Clone)]
pub(crate) struct Database {
    state: Arc<Mutex<State>>,
}

struct State {
    /// Where each version of each object stands in the log; version `n` is the `n`-th.
    log: [Vec<u64>; PITCHES + CREATORS],
    written: u64,
    replayed: u64,
    stuck: bool,
    outbox: Vec<(Left, bool)>,
}

impl Database {
    /// One in which the first pitch and all creators are there.
    pub(crate) fn new() -> Self {
        let mut log: [Vec<u64>; PITCHES + CREATORS] = Default::default();
        for (index, versions) in log.iter_mut().enumerate() {
            if index == 0 || index >= PITCHES {
                versions.push(0);
            }
        }
        Self {
            state: Arc::new(Mutex::new(State {
                log,
                written: 0,
                replayed: 0,
                stuck: false,
                outbox: Vec::new(),
            })),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A transaction that writes a new version, and what it leaves behind.
    pub(crate) fn commit(&self, object: Object) -> Left {
        let mut state = self.lock();
        state.written += 1;
        let position = state.written;
        let versions = &mut state.log[object.index()];
        versions.push(position);
        let left = Left {
            id: 0,
            object,
            version: versions.len() as u64,
            position: Position(position),
        };
        let left = Left {
            id: state.outbox.len(),
            ..left
        };
        state.outbox.push((left, false));
        left
    }

    pub(crate) fn delivered(&self, left: Left) {
        self.lock().outbox[left.id].1 = true;
    }

    pub(crate) fn undelivered(&self) -> Vec<Left> {
        let state = self.lock();
        let left = state.outbox.iter().filter(|(_, delivered)| !delivered);
        left.map(|(left, _)| *left).collect()
    }

    pub(crate) fn newest(&self, object: Object) -> u64 {
        self.lock().log[object.index()].len() as u64
    }

    /// How far the primary has come.
    pub(crate) fn written(&self) -> Position {
        Position(self.lock().written)
    }

    pub(crate) fn set_stuck(&self, stuck: bool) {
        self.lock().stuck = stuck;
    }

    /// Lets the copy follow the primary, some way behind.
    pub(crate) fn replicate(&self, world: &World) {
        let (state, of) = (self.clone(), world.clone());
        world.spawn(async move {
            loop {
                of.pause(Duration::from_millis(60)).await;
                let mut state = state.lock();
                if !state.stuck && state.replayed < state.written {
                    state.replayed += 1 + of.below(state.written - state.replayed);
                }
            }
        });
    }
}

/// Why a load failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;

/// Where a page comes from.
#[derive(Clone)]
pub(crate) struct Pages {
    pub(crate) database: Database,
    pub(crate) world: World,
    pub(crate) pitch: usize,
}

impl Source<Page, Failed> for Pages {
    fn tags(&self) -> Vec<Box<str>> {
        vec![Object::Pitch(self.pitch).tag()]
    }

    fn discovers(&self) -> &'static [&'static str] {
        &["creator"]
    }

    async fn load(&self, load: Load) -> Result<Loaded<Page>, Failed> {
        let world = &self.world;
        world.pause(Duration::from_millis(5)).await;
        if world.chance(4) {
            return Err(Failed);
        }
        let creator = self.pitch % CREATORS;
        let page = {
            let replica = world.chance(70);
            let state = self.database.lock();
            let seen = if replica && Position(state.replayed) >= load.position {
                state.replayed
            } else {
                state.written
            };
            let version = |object: Object| {
                let versions = &state.log[object.index()];
                versions
                    .iter()
                    .filter(|position| **position <= seen)
                    .count() as u64
            };
            let pitch = version(Object::Pitch(self.pitch));
            Page {
                pitch,
                creator: (pitch > 0).then(|| version(Object::Creator(creator))),
            }
        };
        // Within a lease; longer than one that is not renewed; and longer than any.
        let slow = match world.below(100) {
            0 => 900,
            1..10 => 400,
            _ => 20,
        };
        world.pause(Duration::from_millis(slow)).await;
        Ok(Loaded {
            value: page,
            absent: page.pitch == 0,
            tags: page
                .creator
                .map(|_| Object::Creator(creator).tag())
                .into_iter()
                .collect(),
            vintage: Vintage::Present,
        })
    }
}
