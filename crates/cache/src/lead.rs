//! What the leader of a flight does: ask the shared tier, load, fill, and begin again if what was
//! loaded is old already.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use pitchey_runtime::{Monotonic, timeout};

use crate::answer::{Answer, From, GetError, State};
use crate::backplane::World;
use crate::build::{Unusable, encode, fill, remaining};
use crate::cache::{Inner, Kind, KindState, MAX_KEY, MAX_TAGS};
use crate::entry::{Entry, Load, Loaded, Source, Value, Verdict, Vintage};
use crate::flight::{Leader, Outcome, Waited, Waiter};
use crate::guard::Guard;
use crate::memory::Memory;
use crate::node::Begin;
use crate::shared::{Filled, Found, Granted, Held, Meta, Shared, Wish};
use crate::stamp::{Granting, Lease};
use crate::stats::Counter;

/// How often what was loaded and is old already is loaded again.
const RELOADS: u32 = 3;

/// The pauses between looks at a key that another node loads.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// What a load is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Somebody waits.
    Answer,
    /// Something stale has been served.
    Refresh,
    /// Something fresh that is about to expire has been served.
    EarlyRefresh,
    /// Somebody may ask.
    Warm,
}

/// The leader's work.
pub(crate) struct Lead<V: Value, E, M, S, R, Src>
where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
{
    inner: Arc<Inner<V, E, M, S, R>>,
    kind: Kind,
    source: Arc<Src>,
    /// Gone once the outcome is told.
    leader: Option<Leader<V, E>>,
    key: Arc<str>,
    purpose: Purpose,
    wish: Wish,
    candidate: Option<Arc<Entry<V>>>,
    known: Vec<Box<str>>,
    awaited: bool,
    /// Set once the one who asked was given something else.
    answered: Option<Arc<AtomicBool>>,
    /// How often keys had been removed when the load began.
    removals: u64,
}

/// What a look at the shared tier has come to.
enum Consulted<V> {
    Answer(Answer<V>),
    /// The right to load.
    Lease(Granting),
    /// It is away, or of another epoch.
    Away,
    /// Somebody else is at it, and nobody here waits.
    Elsewhere,
    /// What was found is invalid by what is known here by now.
    Again,
    TimedOut,
}

enum Step<V, E> {
    Done(Outcome<V, E>),
    Again,
    /// Without an outcome: whoever waits takes over.
    Leave,
}

impl<V, E, M, S, R, Src> Lead<V, E, M, S, R, Src>
where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
    Src: Source<V, E>,
{
    pub(crate) fn new(
        inner: &Arc<Inner<V, E, M, S, R>>,
        kind: Kind,
        source: Arc<Src>,
        leader: Leader<V, E>,
        purpose: Purpose,
        wish: Wish,
        candidate: Option<Arc<Entry<V>>>,
    ) -> Self {
        Self {
            inner: inner.clone(),
            kind,
            known: source.tags(),
            source,
            key: leader.key().clone(),
            leader: Some(leader),
            purpose,
            wish,
            candidate,
            awaited: false,
            answered: None,
            removals: 0,
        }
    }

    /// The one who asked may be given something else meanwhile, which `answered` says then.
    pub(crate) fn until(mut self, answered: Option<Arc<AtomicBool>>) -> Self {
        self.answered = answered;
        self
    }

    /// Leads to the end; `None` if somebody else is at it and nobody here waits.
    pub(crate) async fn run(mut self) -> Option<Outcome<V, E>> {
        let begun = self.now();
        let deadline = begun + self.state().policy.hard_timeout;
        for attempt in 0..=RELOADS {
            if attempt == RELOADS
                && let Some(leader) = &self.leader
            {
                // What comes of the last try is given out whatever was raised meanwhile: true for those
                // who ask before it.
                leader.close();
            }
            match self.step(deadline, attempt == RELOADS).await {
                Step::Again => {}
                Step::Leave => return None,
                Step::Done(outcome) => {
                    if let Some(leader) = self.leader.take() {
                        leader.end(outcome.clone());
                    }
                    return Some(outcome);
                }
            }
        }
        None
    }

    async fn step(&mut self, deadline: Monotonic, last: bool) -> Step<V, E> {
        let now = self.now();
        let begin = self.begin(now);
        let inherited = self.leader.as_ref().and_then(Leader::take_lease);
        let uses_shared = !self.state().policy.shared.is_zero() && self.key.len() <= MAX_KEY;
        let lease = match inherited {
            Some(lease) => Some(lease),
            None if begin.attached && uses_shared => match self.consult(deadline).await {
                Consulted::Answer(answer) => return Step::Done(Ok(answer)),
                Consulted::Lease(granting) => Some(granting),
                Consulted::Away => {
                    if let Some(answer) = self.still_good() {
                        return Step::Done(Ok(answer));
                    }
                    None
                }
                Consulted::Elsewhere => return Step::Leave,
                // Changed faster than it can be looked at: the source is asked.
                Consulted::Again if last => None,
                Consulted::Again => return Step::Again,
                Consulted::TimedOut => return Step::Done(self.fail(GetError::Timeout)),
            },
            None => {
                if begin.attached || self.inner.backplane.node().is_alone() {
                    None
                } else {
                    self.count(Counter::SharedSkipped);
                    None
                }
            }
        };
        self.load(lease, deadline, last).await
    }

    /// A copy in memory that was only to be compared, while there is nobody to compare it with.
    fn still_good(&self) -> Option<Answer<V>> {
        let entry = self.candidate.as_ref()?;
        let now = self.now();
        let good = !self.state().policy.strict
            && self.inner.trusts(entry, now)
            && matches!(entry.judge(now, true), Verdict::Elapsed | Verdict::Fresh);
        good.then(|| {
            self.count_answer(Counter::MemoryHit, entry);
            Answer::new(entry.clone(), From::Memory, State::Fresh)
        })
    }

    /// Asks the shared tier until it gives an answer or a lease.
    async fn consult(&mut self, deadline: Monotonic) -> Consulted<V> {
        let mut pause = FIRST_PAUSE;
        let mut wish = self.wish;
        loop {
            let asked = self.now();
            let begin = self.begin(asked);
            let node = self.inner.backplane.node().clone();
            let lookup = self
                .inner
                .lookup(self.kind, &self.key, wish, self.known.clone());
            let found = self
                .inner
                .backplane
                .ask(self.inner.backplane.tier().lookup(&lookup));
            let found = found.await;
            self.state().stats.lookups.record(self.now().since(asked));
            let Ok(Found { entry, lease }) = found else {
                self.count(Counter::SharedError);
                return Consulted::Away;
            };
            let was_there = entry.is_some();
            let entry = match entry.map(|stored| {
                self.inner
                    .found(self.kind, &self.key, stored, (begin, asked))
            }) {
                Some(Ok(entry)) => Some(entry),
                Some(Err(Unusable::OtherEpoch)) => {
                    self.give_back(lease);
                    return Consulted::Away;
                }
                Some(Err(Unusable::Undecodable)) => {
                    self.count(Counter::Undecodable);
                    None
                }
                None => None,
            };
            if let Some(entry) = &entry
                && entry.is_raised()
                && self.has(Guard::MemoryChecksTags)
            {
                self.give_back(lease);
                return Consulted::Again;
            }
            let granting = match lease {
                Granted::Ours(lease) => match node.stamp_of(lease.as_of, begin) {
                    Some(stamp) => Some(Granting {
                        lease,
                        stamp,
                        asked,
                        until: asked + self.state().policy.lease(),
                    }),
                    None => {
                        self.release(Some(lease));
                        return Consulted::Away;
                    }
                },
                _ => None,
            };
            let held = match self.settle(entry, lease, granting) {
                Ok(consulted) => return consulted,
                Err(held) => held,
            };
            let now = self.now();
            if now >= deadline {
                return Consulted::TimedOut;
            }
            match held {
                // Something is there that cannot be read: ask for the right to load in any case.
                None if was_there && wish != Wish::Always => wish = Wish::Always,
                held => {
                    self.awaited = true;
                    let longest = held.unwrap_or(pause).max(Duration::from_millis(1));
                    let left = deadline.since(now);
                    let runtime = self.inner.backplane.runtime();
                    runtime.sleep(pause.min(longest).min(left)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// What to do with what was found; an error if there is nothing but to wait, and for how long at most.
    fn settle(
        &mut self,
        entry: Option<Arc<Entry<V>>>,
        lease: Granted,
        granting: Option<Granting>,
    ) -> Result<Consulted<V>, Option<Duration>> {
        let waits = self.purpose == Purpose::Answer;
        if let Some(entry) = entry {
            let now = self.now();
            match entry.judge(now, true) {
                Verdict::Fresh | Verdict::Elapsed if self.wish != Wish::Always => {
                    self.give_back(lease);
                    self.keep(&entry);
                    let counter = if self.awaited {
                        Counter::Awaited
                    } else {
                        Counter::SharedHit
                    };
                    return Ok(Consulted::Answer(self.answer(entry, counter, State::Fresh)));
                }
                Verdict::Stale if waits => {
                    self.keep(&entry);
                    if let Some(granting) = granting {
                        self.hand_on(&entry, granting);
                    }
                    let answer = self.answer(entry, Counter::SharedStale, State::Stale);
                    return Ok(Consulted::Answer(answer));
                }
                _ => self.candidate = Some(entry),
            }
        }
        if let Some(granting) = granting {
            return Ok(Consulted::Lease(granting));
        }
        match lease {
            Granted::Held(_) if !waits => Ok(Consulted::Elsewhere),
            Granted::Held(left) => Err(Some(left)),
            Granted::NotNeeded | Granted::Ours(_) => Err(None),
        }
    }

    /// Refreshes behind what is served, under the lease that was granted for it.
    fn hand_on(&mut self, entry: &Arc<Entry<V>>, granting: Granting) {
        if !entry.claim_refresh() {
            self.release(Some(granting.lease));
            return;
        }
        // A flight of its own: this one ends with what is served.
        let leader = Leader::of_one(&self.key);
        leader.keep_lease(Some(granting));
        self.inner.lead_behind(
            self.kind,
            self.source.clone(),
            leader,
            Purpose::Refresh,
            Wish::IfStale,
            entry.clone(),
        );
    }

    async fn load(
        &mut self,
        lease: Option<Granting>,
        deadline: Monotonic,
        last: bool,
    ) -> Step<V, E> {
        let started = self.now();
        let begin = self.begin(started);
        if let Some(leader) = &self.leader {
            leader.keep_lease(lease);
        }
        let load = Load {
            position: self
                .inner
                .position(begin, lease.map(|granting| granting.lease)),
            background: self.purpose != Purpose::Answer,
        };
        let runtime = self.inner.backplane.runtime().clone();
        let source = self.source.clone();
        let held = lease.map(|Granting { lease, .. }| Held {
            key: self.key.clone(),
            token: lease.token,
        });
        let asked = lease.map_or(started, |granting| granting.asked);
        let extended = |until| {
            if let Some(leader) = &self.leader {
                leader.extend_lease(until);
            }
        };
        let loading = timeout(&runtime, deadline.since(started), source.load(load));
        let loaded = self
            .inner
            .while_renewing(
                self.kind,
                held.into_iter().collect(),
                asked,
                extended,
                loading,
            )
            .await;
        let took = self.now().since(started);
        self.state().stats.loads.record(took);
        // Whoever takes over from here on has nothing to inherit.
        let lease = self.leader.as_ref().and_then(Leader::take_lease).or(lease);
        let loaded = match loaded {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(error)) => {
                self.count(Counter::LoadError);
                self.release(lease.map(|granting| granting.lease));
                return Step::Done(self.fail(GetError::Load(error)));
            }
            Err(_) => {
                self.count(Counter::LoadTimeout);
                self.release(lease.map(|granting| granting.lease));
                return Step::Done(self.fail(GetError::Timeout));
            }
        };
        self.store(loaded, lease, begin, (started, took), last)
            .await
    }

    async fn store(
        &mut self,
        loaded: Loaded<V>,
        lease: Option<Granting>,
        begin: Begin,
        (started, took): (Monotonic, Duration),
        last: bool,
    ) -> Step<V, E> {
        let (mut begin, mut lease) = (begin, lease);
        if !self.has(Guard::StampBeforeLoad) {
            begin = self.inner.backplane.node().begin(self.now());
            if let Some(granting) = &mut lease {
                granting.lease.as_of = self.inner.backplane.node().newest(granting.lease.as_of);
                granting.stamp = begin.stamp;
            }
        }
        let Loaded {
            value,
            absent,
            tags: found,
            vintage,
        } = loaded;
        let mut tags = self.known.clone();
        tags.extend(found);
        tags.sort_unstable();
        tags.dedup();
        if absent && !self.has(Guard::NegativeTags) {
            tags.clear();
        }
        let inner = self.inner.clone();
        if vintage != Vintage::Present {
            // The shared tier would take it for what was loaded under the lease.
            self.release(lease.take().map(|granting| granting.lease));
        }
        let mut meta = inner.meta(self.kind, lease.is_some(), absent, took);
        let present = lease.map_or((begin.stamp, started), |granting| {
            (granting.stamp, granting.asked)
        });
        let before = |age| Monotonic::from_start(started.since_start().saturating_sub(age));
        let (vouched, born) = match vintage {
            Vintage::Present => (Some(present), started),
            Vintage::Before { age } => {
                let born = before(age);
                meta = remaining(meta, age, started);
                ((!begin.attached).then_some((begin.stamp, born)), born)
            }
            Vintage::Until { as_of, age } => {
                let born = before(age);
                meta = remaining(meta, age, started);
                let stamp = inner.backplane.node().stamp_from(as_of, begin);
                (stamp.map(|stamp| (stamp, born)), born)
            }
            Vintage::Unknown => (None, started),
        };
        let is_vouched = vouched.is_some();
        let fits = tags.len() <= MAX_TAGS && self.key.len() <= MAX_KEY && is_vouched;
        let payload = (lease.is_some() && fits).then(|| encode(&value));
        let entry = inner.made(
            self.kind,
            &self.key,
            value,
            vouched.unwrap_or(present),
            &tags,
            (meta, born),
        );
        let entry = Arc::new(entry);
        if let (Vintage::Until { .. }, true, false) = (vintage, entry.is_raised(), last) {
            // Something that it is made of has changed since: there it is known by now, too.
            self.count(Counter::FillRefused);
            return Step::Again;
        }
        let mut keeps = fits;
        if let Some(granting) = lease {
            let lease = granting.lease;
            if let Some(payload) = payload {
                match self.fill(lease, tags, meta, payload).await {
                    Ok(Filled::Stored) => {}
                    Ok(Filled::LeaseLost) if self.is_overdue(&granting) => keeps = false,
                    Ok(_) if last => keeps = false,
                    Ok(_) => {
                        self.count(Counter::FillRefused);
                        return Step::Again;
                    }
                    // Perhaps it is stored and perhaps not; what was loaded is as good as it was.
                    Err(_) => self.count(Counter::SharedError),
                }
            } else {
                self.release(Some(lease));
            }
        }
        if keeps {
            self.keep(&entry);
        }
        if self.answers() {
            self.count_answer(Counter::Miss, &entry);
        } else {
            self.count(Counter::Refresh);
        }
        if self.purpose == Purpose::EarlyRefresh {
            self.count(Counter::EarlyRefresh);
        }
        Step::Done(Ok(Answer::new(entry, From::Source, State::Fresh)))
    }

    /// Whether a lease was lost because its time is over, and not because the key was removed: loading
    /// again would take as long.
    fn is_overdue(&self, granting: &Granting) -> bool {
        let removals = self.inner.backplane.node().removals();
        self.now() >= granting.until && removals == self.removals
    }

    async fn fill(
        &self,
        lease: Lease,
        tags: Vec<Box<str>>,
        meta: Meta,
        payload: Bytes,
    ) -> Result<Filled, crate::shared::SharedError> {
        let fill = fill(&self.key, lease, tags, meta, payload);
        let backplane = &self.inner.backplane;
        backplane.ask(backplane.tier().fill(fill)).await
    }

    fn answer(&self, entry: Arc<Entry<V>>, counter: Counter, state: State) -> Answer<V> {
        self.count_answer(counter, &entry);
        let from = if self.awaited {
            From::Coalesced
        } else {
            From::Shared
        };
        Answer::new(entry, from, state)
    }

    fn fail(&mut self, error: GetError<E>) -> Outcome<V, E> {
        let candidate = self.candidate.clone();
        if self.answers() {
            self.inner.instead(self.kind, candidate, error)
        } else {
            self.inner.stand_in(self.kind, candidate, error)
        }
    }

    /// Whether somebody waits for what comes of it: then it is counted among the answers.
    fn answers(&self) -> bool {
        let answered = self.answered.as_ref();
        self.purpose == Purpose::Answer
            && !answered.is_some_and(|answered| answered.load(Ordering::Relaxed))
    }

    fn count_answer(&self, counter: Counter, entry: &Entry<V>) {
        if self.answers() {
            self.count(counter);
            if entry.absent {
                self.count(Counter::Negative);
            }
        }
    }

    /// A lease that is not needed after all.
    fn give_back(&self, lease: Granted) {
        if let Granted::Ours(lease) = lease {
            self.release(Some(lease));
        }
    }

    fn release(&self, lease: Option<Lease>) {
        if let Some(lease) = lease {
            release_behind(&self.inner, &self.key, lease);
        }
    }

    /// Stamps what begins now, for those who may join.
    fn begin(&mut self, now: Monotonic) -> Begin {
        let node = self.inner.backplane.node();
        let begin = node.begin(now);
        self.removals = node.removals();
        if let Some(leader) = &self.leader {
            leader.begin(begin.stamp, now);
        }
        begin
    }

    /// Puts what was loaded or found into memory, unless its key was removed meanwhile.
    fn keep(&self, entry: &Arc<Entry<V>>) {
        self.inner
            .keep_unless_removed(&self.key, entry, self.removals);
    }

    fn state(&self) -> &KindState {
        self.inner.kind(self.kind)
    }

    fn count(&self, counter: Counter) {
        self.state().stats.count(counter);
    }

    fn has(&self, guard: Guard) -> bool {
        self.inner.backplane.node().guards().has(guard)
    }

    fn now(&self) -> Monotonic {
        self.inner.backplane.runtime().now()
    }
}

impl<V, E, M, S, R, Src> Drop for Lead<V, E, M, S, R, Src>
where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
{
    /// Cut off: one who waits takes over, with the lease; else the lease is given back.
    fn drop(&mut self) {
        if let Some(mut leader) = self.leader.take()
            && let Some(lease) = leader.leave()
        {
            release_behind(&self.inner, &self.key, lease);
        }
    }
}

/// One who waits for a flight; cut off as the last of it, it gives back the lease that was left.
pub(crate) struct Waiting<V, E, M, S, R>
where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
{
    inner: Arc<Inner<V, E, M, S, R>>,
    key: Arc<str>,
    waiter: Waiter<V, E>,
}

impl<V, E, M, S, R> Waiting<V, E, M, S, R>
where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
{
    pub(crate) fn new(inner: &Arc<Inner<V, E, M, S, R>>, waiter: Waiter<V, E>) -> Self {
        Self {
            inner: inner.clone(),
            key: waiter.key().clone(),
            waiter,
        }
    }
}

impl<V, E, M, S, R> Future for Waiting<V, E, M, S, R>
where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
{
    type Output = Waited<V, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Waited<V, E>> {
        Pin::new(&mut self.waiter).poll(context)
    }
}

impl<V, E, M, S, R> Drop for Waiting<V, E, M, S, R>
where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
{
    fn drop(&mut self) {
        if let Some(lease) = self.waiter.leave() {
            release_behind(&self.inner, &self.key, lease);
        }
    }
}

pub(crate) fn release_behind<V, E, M, S, R>(
    inner: &Arc<Inner<V, E, M, S, R>>,
    key: &Arc<str>,
    lease: Lease,
) where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
{
    let (of, key) = (inner.clone(), key.clone());
    inner.spawn(async move {
        let release = of.backplane.tier().release(&key, lease.token);
        // Should it fail, the lease expires.
        let _ = of.backplane.ask(release).await;
    });
}
