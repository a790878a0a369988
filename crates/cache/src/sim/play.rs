//! One schedule.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pitchey_resilience::{Breaker, BreakerConfig};
use pitchey_runtime::{Clock as _, Monotonic, Spawn as _, Timer as _, timeout};

use super::Played;
use super::checker::{History, Read, Violation};
use super::memory::Forgetful;
use super::source::{CREATORS, Database, Failed, Left, Object, PITCHES, Page, Pages};
use super::tier::{Link, Listening, Tier};
use super::world::World;
use crate::answer::State;
use crate::backplane::Backplane;
use crate::cache::{Cache, Kind};
use crate::follow::{CatchUp, follow};
use crate::guard::{Guard, Guards};
use crate::node::{Node, NodeConfig};
use crate::policy::Policy;
use crate::shared::Strength;

const NODES: usize = 2;
const READERS: usize = 3;
const WRITERS: usize = 2;
/// How long faults happen, how long the world then heals, and how long the last reads may take.
const FAULTS: Duration = Duration::from_millis(3500);
const HEALING: Duration = Duration::from_secs(6);
const LAST_READS: Duration = Duration::from_secs(3);

type Pageboard = Cache<Page, Failed, Forgetful<Page>, Tier, World>;

/// A node in one of its lives.
#[derive(Clone)]
struct Running {
    life: u32,
    cache: Pageboard,
    links: [Tier; 2],
    world: World,
}

/// Everything of a schedule.
#[derive(Clone)]
struct Stage {
    world: World,
    tier: Tier,
    database: Database,
    history: History,
    guards: Guards,
    policy: Policy,
    nodes: Arc<Mutex<Vec<Running>>>,
}

pub(super) fn play(seed: u64, guards: Guards, writes_down: bool) -> Result<Played, Box<Violation>> {
    let world = World::new(seed);
    let silence = NodeConfig::default().silence;
    let stage = Stage {
        tier: Tier::new(&world, guards),
        database: Database::new(),
        history: History::new(silence, writes_down),
        guards,
        policy: policy(&world),
        nodes: Arc::default(),
        world,
    };
    stage.database.replicate(&stage.world);
    for node in 0..NODES {
        let running = stage.start(node, 0);
        stage.nodes().push(running);
    }
    let begun = stage.world.now();
    for n in 0..READERS * NODES {
        let stage = stage.clone();
        let world = stage.world.clone();
        world.spawn(async move { stage.reader(n % NODES).await });
    }
    for _ in 0..WRITERS {
        let stage = stage.clone();
        let world = stage.world.clone();
        world.spawn(async move { stage.writer().await });
    }
    let chaos = stage.clone();
    stage.world.spawn(async move { chaos.chaos().await });
    stage.world.run(begun + FAULTS);

    stage.heal();
    stage.world.run(begun + FAULTS + HEALING);
    let last = stage.clone();
    stage.world.spawn(async move { last.last_reads().await });
    stage.world.run(begun + FAULTS + HEALING + LAST_READS);
    let outcome = stage.history.outcome(seed, stage.world.polls());
    // The tasks hold the world, and the world holds the tasks.
    for owner in 0..=u32::try_from(NODES).unwrap_or(u32::MAX) {
        stage.world.end(owner);
    }
    outcome
}

/// Mostly lifetimes that hide nothing; now and then ones so short that every window is passed through.
fn policy(world: &World) -> Policy {
    let short = world.chance(40);
    let fresh = if short {
        Duration::from_millis(50 + world.below(400))
    } else {
        Duration::from_mins(5)
    };
    let window = |most: u64| Duration::from_millis(world.below(most));
    Policy {
        memory: if world.chance(50) {
            fresh
        } else {
            fresh.min(Duration::from_millis(200))
        },
        shared: fresh,
        fresh,
        stale_while_revalidate: window(500),
        stale_if_error: window(5000),
        negative: fresh,
        jitter_percent: 10,
        early_refresh: if world.chance(50) { 1.0 } else { 0.0 },
        soft_timeout: Duration::from_millis(100),
        hard_timeout: Duration::from_secs(1),
        ..Policy::default()
    }
}

impl Stage {
    fn nodes(&self) -> std::sync::MutexGuard<'_, Vec<Running>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self, node: usize) -> Running {
        self.nodes()[node].clone()
    }

    fn note(&self, what: impl FnOnce() -> String) {
        self.history.note(self.world.now(), what);
    }

    fn start(&self, node: usize, life: u32) -> Running {
        let world = self.world.of(1 + u32::try_from(node).unwrap_or(0));
        let config = NodeConfig {
            guards: self.guards,
            ..NodeConfig::default()
        };
        let heard = Arc::new(Node::new(config));
        let links = [self.tier.link(world.clone()), self.tier.link(world.clone())];
        let breaker = Breaker::new(BreakerConfig {
            minimum_calls: 4,
            open: Duration::from_millis(200),
            longest_open: Duration::from_millis(400),
            ..crate::backplane::SHARED_BREAKER
        });
        let backplane = Backplane::new(heard.clone(), links[0].clone(), world.clone(), breaker);
        let memory = Forgetful::new(world.clone());
        let cache = Cache::new(backplane, memory, vec![("page", self.policy.clone())]);
        let running = Running {
            life,
            cache,
            links,
            world: world.clone(),
        };
        let relay = Relay {
            stage: self.clone(),
            node,
            running: running.clone(),
        };
        let mut feed = Listening::new(running.links[1].clone());
        let (stage, of) = (self.clone(), world.clone());
        let catching_up = relay.clone();
        world.spawn(async move {
            follow(&heard, &mut feed, &catching_up, &of, |why| {
                stage.note(|| format!("node {node} is cut off: {why}"));
            })
            .await;
        });
        world.spawn(async move {
            loop {
                relay.running.world.pause(Duration::from_millis(400)).await;
                relay.deliver().await;
            }
        });
        running
    }

    async fn reader(&self, node: usize) {
        for _ in 0..12 {
            self.world.pause(Duration::from_millis(500)).await;
            let pitch = usize::try_from(self.world.below(PITCHES as u64)).unwrap_or(0);
            let impatient = self.world.chance(15);
            let patience = if impatient { 10 } else { 10_000 };
            let patience = Duration::from_millis(patience);
            self.read(node, pitch, patience).await;
        }
    }

    async fn read(&self, node: usize, pitch: usize, patience: Duration) {
        let running = self.running(node);
        let read = Read {
            at: self.world.now(),
            node,
            life: running.life,
            pitch,
            told: self.history.told_so_far(),
        };
        self.note(|| format!("node {node} is asked for pitch {pitch}"));
        let getting = get(&running, &self.database, pitch);
        match timeout(&self.world, patience, getting).await {
            Err(_) => self.note(|| format!("node {node}: the reader of pitch {pitch} has gone")),
            Ok(Err(error)) => {
                self.history.failed();
                self.note(|| format!("node {node}: pitch {pitch}: {error:?}"));
            }
            Ok(Ok(answer)) => {
                let (page, from, state) = (*answer.value(), answer.from, answer.state);
                self.note(|| format!("node {node}: pitch {pitch}: {page:?} {from:?} {state:?}"));
                self.history.read(read, page, from, state);
            }
        }
    }

    async fn writer(&self) {
        for _ in 0..6 {
            self.world.pause(Duration::from_millis(900)).await;
            let object = if self.world.chance(70) {
                Object::Pitch(usize::try_from(self.world.below(PITCHES as u64)).unwrap_or(0))
            } else {
                Object::Creator(usize::try_from(self.world.below(CREATORS as u64)).unwrap_or(0))
            };
            let node = usize::try_from(self.world.below(NODES as u64)).unwrap_or(0);
            let running = self.running(node);
            let left = self.database.commit(object);
            self.history.committed();
            self.note(|| format!("node {node} commits {object:?}, version {}", left.version));
            let dies = self.world.chance(15);
            self.world.pause(Duration::from_millis(3)).await;
            if dies {
                self.note(|| format!("node {node} does not invalidate it"));
                continue;
            }
            match object {
                Object::Pitch(pitch) if self.world.chance(30) => {
                    self.remove(node, &running, left, pitch).await;
                }
                _ => self.invalidate(node, &running, left).await,
            }
        }
    }

    /// Says by its tag that something is new.
    async fn invalidate(&self, node: usize, running: &Running, left: Left) {
        let backplane = running.cache.backplane();
        let tags = [left.object.tag()];
        let done = backplane.invalidate(&tags, Strength::Hard, left.position);
        let acknowledged = done.await.is_ok();
        if acknowledged {
            self.database.delivered(left);
        }
        let (at, what) = (self.world.now(), (left.object, left.version));
        self.history
            .told(at, (node, running.life), what, acknowledged);
        self.note(|| {
            let outcome = if acknowledged {
                "done"
            } else {
                "not acknowledged"
            };
            format!("node {node}: invalidation of {what:?}: {outcome}")
        });
    }

    /// Says by removing its page that something is new; if that is not acknowledged, it is left to the relay.
    async fn remove(&self, node: usize, running: &Running, left: Left, pitch: usize) {
        let keys = [key(pitch)];
        let backplane = running.cache.backplane();
        let removed = backplane.remove(&keys, left.position).await;
        self.note(|| format!("node {node}: removal of pitch {pitch}: {removed:?}"));
        if removed.is_ok() {
            self.database.delivered(left);
            let what = (left.object, left.version);
            let of = (node, running.life);
            self.history.told(self.world.now(), of, what, true);
        }
    }

    /// What goes wrong.
    async fn chaos(&self) {
        loop {
            self.world.pause(Duration::from_millis(700)).await;
            let node = usize::try_from(self.world.below(NODES as u64)).unwrap_or(0);
            let long = Duration::from_millis(1 + self.world.below(2200));
            match self.world.below(9) {
                0 | 1 => {
                    let which = self.world.below(3);
                    let link = if self.world.chance(50) {
                        Link::Cut
                    } else {
                        Link::Hung
                    };
                    self.note(|| format!("node {node}: link {which} is {link:?} for {long:?}"));
                    let links = self.running(node).links;
                    let chosen = links.iter().enumerate();
                    let chosen: Vec<Tier> = chosen
                        .filter(|(n, _)| which == 2 || *n as u64 == which)
                        .map(|(_, link)| link.clone())
                        .collect();
                    for tier in &chosen {
                        tier.set_link(link);
                    }
                    let world = self.world.clone();
                    self.world.spawn(async move {
                        world.sleep(long).await;
                        for tier in &chosen {
                            tier.set_link(Link::Well);
                        }
                    });
                }
                2 => {
                    self.note(|| format!("the shared tier is down for {long:?}"));
                    self.tier.set_up(false);
                    self.world.sleep(long).await;
                    let empty = self.world.chance(50);
                    self.note(|| format!("the shared tier is back, empty: {empty}"));
                    self.tier.restart(empty);
                }
                3 => {
                    self.note(|| "the shared tier restarts empty".to_owned());
                    self.tier.restart(true);
                }
                4 => {
                    let back = self.world.chance(50);
                    let ms = i64::try_from(long.as_millis()).unwrap_or(0);
                    self.tier.skew(if back { -ms } else { ms });
                    self.note(|| format!("the clock of the shared tier jumps by {ms} ms: {back}"));
                }
                5 => {
                    self.note(|| "the next announcement is lost".to_owned());
                    self.tier.trim_next();
                }
                6 => {
                    let life = self.running(node).life + 1;
                    self.note(|| format!("node {node} crashes and starts again"));
                    self.world.end(1 + u32::try_from(node).unwrap_or(0));
                    let running = self.start(node, life);
                    self.nodes()[node] = running;
                }
                _ => {
                    self.note(|| format!("the copy of the source is stuck for {long:?}"));
                    self.database.set_stuck(true);
                    let (database, world) = (self.database.clone(), self.world.clone());
                    self.world.spawn(async move {
                        world.sleep(long).await;
                        database.set_stuck(false);
                    });
                }
            }
            if self.world.now() >= end_of_faults() {
                return;
            }
        }
    }

    fn heal(&self) {
        self.note(|| "all heals".to_owned());
        self.tier.set_up(true);
        self.database.set_stuck(false);
        for running in self.nodes().iter() {
            running
                .links
                .iter()
                .for_each(|link| link.set_link(Link::Well));
        }
    }

    async fn last_reads(&self) {
        for node in 0..NODES {
            for pitch in 0..PITCHES {
                let running = self.running(node);
                // A load may still fail, by chance; what is served instead then says so.
                for _ in 0..20 {
                    let at = self.world.now();
                    let life = running.life;
                    let got = get(&running, &self.database, pitch).await;
                    if let Ok(answer) = got
                        && answer.state != State::Unverified
                    {
                        let page = *answer.value();
                        self.note(|| format!("last: node {node}: pitch {pitch}: {answer:?}"));
                        let read = Read {
                            at,
                            node,
                            life,
                            pitch,
                            told: self.history.told_so_far(),
                        };
                        let newest = |object| self.database.newest(object);
                        self.history.last_read(read, page, newest);
                        break;
                    }
                }
            }
        }
    }
}

fn end_of_faults() -> Monotonic {
    Monotonic::from_start(Duration::from_secs(1) + FAULTS.mul_f64(0.8))
}

fn key(pitch: usize) -> Box<str> {
    format!("page/{pitch}").into()
}

async fn get(
    running: &Running,
    database: &Database,
    pitch: usize,
) -> Result<crate::answer::Answer<Page>, crate::answer::GetError<Failed>> {
    let source = Pages {
        database: database.clone(),
        world: running.world.clone(),
        pitch,
    };
    running.cache.get(Kind(0), &key(pitch), source).await
}

/// Delivers what was left behind.
#[derive(Clone)]
struct Relay {
    stage: Stage,
    node: usize,
    running: Running,
}

impl Relay {
    async fn deliver(&self) -> bool {
        if !self.stage.guards.has(Guard::Relay) {
            return true;
        }
        for left in self.stage.database.undelivered() {
            self.stage
                .note(|| format!("node {} relays {left:?}", self.node));
            let backplane = self.running.cache.backplane();
            let tags = [left.object.tag()];
            let done = backplane.invalidate(&tags, Strength::Hard, left.position);
            if done.await.is_err() {
                return false;
            }
            self.stage.database.delivered(left);
            let (at, what) = (self.stage.world.now(), (left.object, left.version));
            let of = (self.node, self.running.life);
            self.stage.history.told(at, of, what, true);
        }
        true
    }
}

impl CatchUp for Relay {
    async fn catch_up(&self) -> bool {
        let written = self.stage.database.written();
        self.deliver().await && self.running.links[1].reach(written).await.is_ok()
    }
}
