//! What tests lie on: nodes, their shared tier, a source that counts, and time.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pitchey_resilience::Breaker;
use pitchey_runtime::{Clock as _, Monotonic, Spawn as _, Timer as _};

use crate::answer::{From, State};
use crate::backplane::{Backplane, SHARED_BREAKER};
use crate::cache::{Cache, Kind};
use crate::entry::{Load, Loaded, Source, Value, Vintage};
use crate::flight::Outcome;
use crate::follow::{CatchUp, Lost, follow};
use crate::node::{Node, NodeConfig};
use crate::policy::Policy;
use crate::shared::{Fill, Filled, Found, Held, Lookup, Shared, SharedError, Strength};
use crate::sim::memory::Forgetful;
use crate::sim::tier::{Listening, Tier};
use crate::sim::world::World;
use crate::stamp::{AsOf, Position, Token};
use crate::stats::{Counter, KindSnapshot};

pub(super) const PAGE: Kind = Kind(0);

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Fresh for 90 seconds, 30 of them in memory, stale for 30 more, good for an error's place for 600; no
/// chance anywhere.
pub(super) fn policy() -> Policy {
    Policy {
        jitter_percent: 0,
        early_refresh: 0.0,
        ..Policy::default()
    }
}

/// What is cached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl Value for Text {
    const SCHEMA: u16 = 7;

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.0.as_bytes());
    }

    fn decode(bytes: Bytes) -> Option<Self> {
        String::from_utf8(bytes.into()).ok().map(Self)
    }

    fn weight(&self) -> usize {
        self.0.len()
    }
}

/// Why a load failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed;

/// A source of one text, as it stands when a load begins. Clones are the same.
#[derive(Clone)]
pub(super) struct Origin {
    world: World,
    tags: Vec<Box<str>>,
    found: Vec<Box<str>>,
    facts: Arc<Mutex<Facts>>,
}

struct Facts {
    text: Option<String>,
    takes: Duration,
    fails: bool,
    vintage: Vintage,
    loads: Vec<Load>,
}

impl Origin {
    /// The same source for a reader who knows these tags and discovers those.
    pub(super) fn tagged(&self, tags: &[&str], found: &[&str]) -> Self {
        let boxed = |tags: &[&str]| tags.iter().map(|tag| Box::from(*tag)).collect();
        Self {
            tags: boxed(tags),
            found: boxed(found),
            ..self.clone()
        }
    }

    pub(super) fn set(&self, text: &str) {
        self.facts().text = Some(text.to_owned());
    }

    pub(super) fn clear(&self) {
        self.facts().text = None;
    }

    pub(super) fn sees(&self, vintage: Vintage) {
        self.facts().vintage = vintage;
    }

    pub(super) fn takes(&self, time: Duration) {
        self.facts().takes = time;
    }

    pub(super) fn fails(&self, fails: bool) {
        self.facts().fails = fails;
    }

    pub(super) fn loads(&self) -> usize {
        self.facts().loads.len()
    }

    pub(super) fn last_load(&self) -> Load {
        *self.facts().loads.last().expect("it was loaded")
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source<Text, Failed> for Origin {
    fn tags(&self) -> Vec<Box<str>> {
        self.tags.clone()
    }

    fn discovers(&self) -> &'static [&'static str] {
        &["creator"]
    }

    async fn load(&self, load: Load) -> Result<Loaded<Text>, Failed> {
        let (text, takes, vintage) = {
            let mut facts = self.facts();
            facts.loads.push(load);
            (facts.text.clone(), facts.takes, facts.vintage)
        };
        self.world.sleep(takes).await;
        if self.facts().fails {
            return Err(Failed);
        }
        Ok(Loaded {
            absent: text.is_none(),
            value: Text(text.unwrap_or_default()),
            tags: self.found.clone(),
            vintage,
        })
    }
}

/// The shared tier, with a list of what was asked of it.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) tier: Tier,
    calls: Arc<Mutex<Vec<&'static str>>>,
    /// How long the answer to a lookup is on its way.
    answers_take: Arc<Mutex<Duration>>,
}

impl Watched {
    fn note(&self, call: &'static str) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(call);
    }

    pub(super) fn answers_take(&self, time: Duration) {
        *self
            .answers_take
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = time;
    }

    async fn answer(&self) {
        let time = *self
            .answers_take
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.tier.world().sleep(time).await;
    }

    /// What was asked since this was last called.
    pub(super) fn take_calls(&self) -> Vec<&'static str> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *calls)
    }
}

impl Shared for Watched {
    async fn lookup(&self, lookup: &Lookup) -> Result<Found, SharedError> {
        self.note("lookup");
        let found = self.tier.lookup(lookup).await;
        self.answer().await;
        found
    }

    async fn lookup_many(&self, lookups: &[Lookup]) -> Result<Vec<Found>, SharedError> {
        self.note("lookup_many");
        let found = self.tier.lookup_many(lookups).await;
        self.answer().await;
        found
    }

    async fn fill(&self, fill: Fill) -> Result<Filled, SharedError> {
        self.note("fill");
        self.tier.fill(fill).await
    }

    async fn fill_many(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, SharedError> {
        self.note("fill_many");
        self.tier.fill_many(fills).await
    }

    async fn renew(&self, leases: &[Held], lease: Duration) -> Result<Vec<bool>, SharedError> {
        self.note("renew");
        self.tier.renew(leases, lease).await
    }

    async fn release(&self, key: &str, token: Token) -> Result<(), SharedError> {
        self.note("release");
        self.tier.release(key, token).await
    }

    async fn invalidate(
        &self,
        tags: &[Box<str>],
        strength: Strength,
        position: Position,
    ) -> Result<AsOf, SharedError> {
        self.note("invalidate");
        self.tier.invalidate(tags, strength, position).await
    }

    async fn remove(&self, keys: &[Box<str>], position: Position) -> Result<AsOf, SharedError> {
        self.note("remove");
        self.tier.remove(keys, position).await
    }

    async fn remove_prefix(&self, prefix: &str, position: Position) -> Result<u64, SharedError> {
        self.note("remove_prefix");
        self.tier.remove_prefix(prefix, position).await
    }
}

/// Nothing is ever left behind.
pub(super) struct NothingLeft;

impl CatchUp for NothingLeft {
    async fn catch_up(&self) -> bool {
        true
    }
}

pub(super) type Texts = Cache<Text, Failed, Forgetful<Text>, Watched, World>;

/// One node.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) cache: Texts,
    pub(super) node: Arc<Node>,
    /// What it asks the shared tier through, and what it listens through.
    pub(super) asks: Watched,
    pub(super) hears: Tier,
    /// Why it was cut off, so far.
    pub(super) lost: Arc<Mutex<Vec<Lost>>>,
    owner: u32,
}

impl Peer {
    pub(super) fn get(
        &self,
        key: &str,
        origin: &Origin,
    ) -> impl Future<Output = Outcome<Text, Failed>> + Send + use<> {
        let (cache, key, origin) = (self.cache.clone(), key.to_owned(), origin.clone());
        async move { cache.get(PAGE, &key, origin).await }
    }

    pub(super) fn invalidate(
        &self,
        tag: &str,
        strength: Strength,
    ) -> impl Future<Output = Result<(), SharedError>> + Send + use<> {
        let (backplane, tags) = (self.cache.backplane().clone(), [Box::from(tag)]);
        async move {
            backplane
                .invalidate(&tags, strength, Position::default())
                .await
        }
    }

    pub(super) fn remove(
        &self,
        key: &str,
    ) -> impl Future<Output = Result<(), SharedError>> + Send + use<> {
        let (backplane, keys) = (self.cache.backplane().clone(), [Box::from(key)]);
        async move { backplane.remove(&keys, Position::default()).await }
    }

    pub(super) fn stats(&self) -> KindSnapshot {
        self.cache.stats()[PAGE.0].1.clone()
    }

    pub(super) fn count(&self, counter: Counter) -> u64 {
        self.stats().get(counter)
    }
}

/// A task that was begun.
pub(super) struct Begun<T> {
    output: Arc<Mutex<Option<T>>>,
    owner: u32,
    world: World,
}

impl<T> Begun<T> {
    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().is_some()
    }

    pub(super) fn output(self) -> T {
        self.lock().take().expect("it has ended")
    }

    /// Drops it where it stands.
    pub(super) fn cut(self) {
        self.world.end(self.owner);
    }
}

/// Everything.
pub(super) struct Bed {
    pub(super) world: World,
    pub(super) tier: Tier,
    owners: Mutex<u32>,
}

impl Bed {
    pub(super) fn new() -> Self {
        let world = World::new(1);
        Self {
            tier: Tier::near(&world),
            world,
            owners: Mutex::new(0),
        }
    }

    fn owner(&self) -> u32 {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        *owners += 1;
        *owners
    }

    pub(super) fn origin(&self, text: &str) -> Origin {
        Origin {
            world: self.world.clone(),
            tags: vec!["pitch:1".into()],
            found: Vec::new(),
            facts: Arc::new(Mutex::new(Facts {
                text: Some(text.to_owned()),
                takes: Duration::ZERO,
                fails: false,
                vintage: Vintage::Present,
                loads: Vec::new(),
            })),
        }
    }

    /// A node without a shared tier.
    pub(super) fn alone(&self, policy: Policy) -> Peer {
        self.node(Node::alone(NodeConfig::default()), policy)
    }

    /// A node that listens to nobody yet.
    pub(super) fn detached(&self, policy: Policy) -> Peer {
        self.node(Node::new(NodeConfig::default()), policy)
    }

    /// A node that is attached and stays so.
    pub(super) fn peer(&self, policy: Policy) -> Peer {
        let peer = self.detached(policy);
        self.follow(&peer, NothingLeft);
        self.settle();
        assert!(peer.node.status(self.world.now()).attached);
        peer.asks.take_calls();
        peer
    }

    fn node(&self, node: Node, policy: Policy) -> Peer {
        let mut problems = Vec::new();
        policy.validate("page", &mut problems);
        assert_eq!(problems, [""; 0]);
        let owner = self.owner();
        let world = self.world.of(owner);
        let node = Arc::new(node);
        let asks = Watched {
            tier: self.tier.link(world.clone()),
            calls: Arc::default(),
            answers_take: Arc::default(),
        };
        let breaker = Breaker::new(SHARED_BREAKER);
        let memory = Forgetful::faithful(world.clone());
        let hears = self.tier.link(world.clone());
        let backplane = Backplane::new(node.clone(), asks.clone(), world, breaker);
        Peer {
            cache: Cache::new(backplane, memory, vec![("page", policy)]),
            node,
            asks,
            hears,
            lost: Arc::default(),
            owner,
        }
    }

    /// Keeps a node attached from now on.
    pub(super) fn follow(&self, peer: &Peer, catch_up: impl CatchUp + 'static) {
        let (world, node) = (self.world.of(peer.owner), peer.node.clone());
        let (mut feed, lost) = (Listening::new(peer.hears.clone()), peer.lost.clone());
        self.world.of(peer.owner).spawn(async move {
            follow(&node, &mut feed, &catch_up, &world, |why| {
                let mut lost = lost.lock().unwrap_or_else(PoisonError::into_inner);
                lost.push(why.clone());
            })
            .await;
        });
    }

    /// Ends everything that a node is at.
    pub(super) fn kill(&self, peer: &Peer) {
        self.world.end(peer.owner);
    }

    /// Begins something.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Begun<T> {
        let begun = Begun {
            output: Arc::default(),
            owner: self.owner(),
            world: self.world.clone(),
        };
        let output = begun.output.clone();
        self.world.of(begun.owner).spawn(async move {
            let ended = work.await;
            *output.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        });
        begun
    }

    /// Does something to the end. Time passes only while there is nothing else to do.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let begun = self.begin(work);
        let far = self.world.now() + Duration::from_hours(1);
        self.world.run_while(far, || !begun.has_ended());
        begun.output()
    }

    /// Lets everything happen that happens at this moment.
    pub(super) fn settle(&self) {
        self.world.run(self.world.now());
    }

    /// Lets time pass, and everything happen that happens meanwhile.
    pub(super) fn advance(&self, by: Duration) {
        self.run(self.world.sleep(by));
        self.settle();
    }

    pub(super) fn now(&self) -> Monotonic {
        self.world.now()
    }
}

impl Drop for Bed {
    /// The tasks hold the world, and the world holds the tasks.
    fn drop(&mut self) {
        for owner in 0..=self.owner() {
            self.world.end(owner);
        }
    }
}

/// What was served, where from, and as what.
pub(super) fn served(outcome: Outcome<Text, Failed>) -> (String, From, State) {
    let answer = outcome.expect("an answer");
    (answer.value().0.clone(), answer.from, answer.state)
}

/// The same of a fresh answer from memory.
pub(super) fn from_memory(text: &str) -> (String, From, State) {
    (text.to_owned(), From::Memory, State::Fresh)
}

/// The same of one that was just loaded.
pub(super) fn from_source(text: &str) -> (String, From, State) {
    (text.to_owned(), From::Source, State::Fresh)
}

/// The same of a fresh one from the shared tier.
pub(super) fn from_shared(text: &str) -> (String, From, State) {
    (text.to_owned(), From::Shared, State::Fresh)
}
