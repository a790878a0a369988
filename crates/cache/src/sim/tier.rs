//! The shared tier of a simulation: what it holds, and a network that loses, delays and reorders.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use pitchey_runtime::{Clock as _, Random as _, Timer as _, timeout};

use super::world::World;
use crate::follow::Feed;
use crate::guard::{Guard, Guards};
use crate::shared::{
    self, Announced, Announcement, Fill, Filled, Found, Granted, Lookup, Shared, SharedError,
    Stored, Strength, Wish,
};
use crate::stamp::{AsOf, Epoch, Lease, Position, Seq, Token};

/// How long a call may take.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(50);

/// The server, as all nodes see it.
#[derive(Clone)]
pub(crate) struct Tier {
    server: Arc<Mutex<Server>>,
    world: World,
    /// The network between it and one node.
    link: Arc<Mutex<Link>>,
    guards: Guards,
    network: Network,
}

/// What a network does to calls, each way.
#[derive(Clone, Copy, Debug)]
struct Network {
    loses_percent: u64,
    delays: Duration,
}

/// What is wrong with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Well,
    /// Calls are refused at once.
    Cut,
    /// Calls go nowhere.
    Hung,
}

struct Server {
    up: bool,
    epoch: Epoch,
    seq: Seq,
    position: Position,
    tags: BTreeMap<Box<str>, (Seq, Seq)>,
    entries: BTreeMap<Box<str>, (Stored, u64)>,
    leases: BTreeMap<Box<str>, Held>,
    stream: Vec<Announcement>,
    listeners: Vec<Waker>,
    trims: bool,
    /// Its clock differs from everybody's, and jumps.
    skew_ms: i64,
}

#[derive(Clone, Copy)]
struct Held {
    lease: Lease,
    born_ms: u64,
    until_ms: u64,
}

impl Tier {
    pub(crate) fn new(world: &World, guards: Guards) -> Self {
        Self {
            server: Arc::new(Mutex::new(Server {
                up: true,
                epoch: Epoch(world.next_u64() | 1),
                seq: Seq(1),
                position: Position::default(),
                tags: BTreeMap::new(),
                entries: BTreeMap::new(),
                leases: BTreeMap::new(),
                stream: Vec::new(),
                listeners: Vec::new(),
                trims: false,
                skew_ms: 0,
            })),
            world: world.clone(),
            link: Arc::new(Mutex::new(Link::Well)),
            guards,
            network: Network {
                loses_percent: 1,
                delays: Duration::from_millis(4),
            },
        }
    }

    /// One whose network loses nothing and takes no time.
    #[cfg(test)]
    pub(crate) fn near(world: &World) -> Self {
        Self {
            network: Network {
                loses_percent: 0,
                delays: Duration::ZERO,
            },
            ..Self::new(world, Guards::default())
        }
    }

    /// The same server, over another connection and for tasks of another owner.
    pub(crate) fn link(&self, world: World) -> Self {
        Self {
            server: self.server.clone(),
            world,
            link: Arc::new(Mutex::new(Link::Well)),
            guards: self.guards,
            network: self.network,
        }
    }

    pub(crate) fn set_link(&self, link: Link) {
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = link;
    }

    pub(crate) fn set_up(&self, up: bool) {
        self.server().up = up;
    }

    /// It comes back with nothing, or with what it had a while ago; its numbers are new in any case.
    pub(crate) fn restart(&self, empty: bool) {
        let mut server = self.server();
        server.up = true;
        let old = server.epoch;
        server.epoch = Epoch(self.world.next_u64() | 1);
        server.stream.clear();
        server.leases.clear();
        if empty {
            server.tags.clear();
            server.entries.clear();
            server.seq = Seq(1);
            server.position = Position::default();
        } else {
            // A snapshot from before the last invalidations.
            let back = self.world.below(4);
            server.seq = Seq(server.seq.0.saturating_sub(back).max(1));
            let seq = server.seq;
            for raised in server.tags.values_mut() {
                raised.0 = raised.0.min(seq);
            }
        }
        if !self.guards.has(Guard::Epoch) {
            server.epoch = old;
        }
    }

    pub(crate) fn skew(&self, ms: i64) {
        self.server().skew_ms += ms;
    }

    /// What is stored under a key, valid or not.
    #[cfg(test)]
    pub(crate) fn stored(&self, key: &str) -> Option<Stored> {
        let server = self.server();
        server.entries.get(key).map(|(stored, _)| stored.clone())
    }

    /// Puts other bytes under a key.
    #[cfg(test)]
    pub(crate) fn poison(&self, key: &str, payload: &'static [u8]) {
        if let Some((stored, _)) = self.server().entries.get_mut(key) {
            stored.payload = bytes::Bytes::from_static(payload);
        }
    }

    #[cfg(test)]
    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// How many leases are out.
    #[cfg(test)]
    pub(crate) fn leases(&self) -> usize {
        self.server().leases.len()
    }

    /// The next announcement is cut off the stream before anybody has read it.
    pub(crate) fn trim_next(&self) {
        self.server().trims = true;
    }

    /// From now on, loads read what has come at least this far.
    pub(crate) async fn reach(&self, position: Position) -> Result<(), SharedError> {
        self.call(|server, _| server.position = server.position.max(position))
            .await
    }

    /// When something is announced behind `heard`, or the server is not what it was.
    async fn announced(&self, heard: Seq) {
        std::future::poll_fn(|context| {
            let mut server = self.server();
            let epoch = server.epoch;
            let new = |last: &Announcement| last.seq > heard || last.epoch != epoch;
            if server.stream.last().is_some_and(new) {
                return Poll::Ready(());
            }
            server.listeners.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call: on its way there and back anything may happen to it.
    async fn call<T>(
        &self,
        act: impl FnOnce(&mut Server, u64) -> T + Send,
    ) -> Result<T, SharedError> {
        let unavailable = || SharedError::Unavailable("cut".to_owned());
        let link = *self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let lost_there = link == Link::Hung || self.world.chance(self.network.loses_percent);
        let lost_back = self.world.chance(self.network.loses_percent);
        if link == Link::Cut {
            return Err(unavailable());
        }
        if lost_there {
            self.world.sleep(TIMEOUT).await;
            return Err(SharedError::Timeout);
        }
        self.world.pause(self.network.delays).await;
        let now = self.world.now();
        let result = {
            let mut server = self.server();
            if !server.up {
                return Err(unavailable());
            }
            let now_ms = i64::try_from(now.since_start().as_millis()).unwrap_or(i64::MAX);
            let now_ms = now_ms.saturating_add(server.skew_ms).max(0);
            act(&mut server, now_ms.unsigned_abs())
        };
        if lost_back {
            self.world.sleep(TIMEOUT).await;
            return Err(SharedError::Timeout);
        }
        self.world.pause(self.network.delays).await;
        Ok(result)
    }
}

impl Server {
    fn as_of(&self) -> AsOf {
        AsOf {
            epoch: self.epoch,
            seq: self.seq,
        }
    }

    fn lookup(&mut self, lookup: &Lookup, token: Token, now_ms: u64, guards: Guards) -> Found {
        let entry = self.valid(&lookup.key, now_ms, guards);
        let stale = entry.as_ref().is_none_or(|entry| {
            entry.softened || entry.age.as_millis() >= u128::from(entry.meta.fresh_ms)
        });
        let wanted = match lookup.wish {
            Wish::Always => true,
            Wish::IfStale => stale,
            Wish::Never => false,
        };
        if !wanted {
            let lease = Granted::NotNeeded;
            return Found { entry, lease };
        }
        if let Some(held) = self.leases.get(&lookup.key)
            && held.until_ms > now_ms
        {
            let left = Duration::from_millis(held.until_ms - now_ms);
            let lease = Granted::Held(left);
            return Found { entry, lease };
        }
        for tag in &lookup.tags {
            let seq = self.seq;
            self.tags.entry(tag.clone()).or_insert((seq, seq));
        }
        let lease = Lease {
            token,
            as_of: self.as_of(),
            position: self.position,
        };
        let held = Held {
            lease,
            born_ms: now_ms,
            until_ms: now_ms + crate::stamp::millis(lookup.lease),
        };
        self.leases.insert(lookup.key.clone(), held);
        let lease = Granted::Ours(lease);
        Found { entry, lease }
    }

    fn valid(&self, key: &str, now_ms: u64, guards: Guards) -> Option<Stored> {
        let (stored, born_ms) = self.entries.get(key)?;
        let mut stored = stored.clone();
        stored.age = Duration::from_millis(now_ms.saturating_sub(*born_ms));
        if stored.as_of.epoch != self.epoch {
            return None;
        }
        if guards.has(Guard::LookupChecksTags) {
            for tag in &stored.tags {
                let (hard, soft) = self.tags.get(tag)?;
                if *hard > stored.as_of.seq {
                    return None;
                }
                stored.softened |= *soft > stored.as_of.seq;
            }
        }
        Some(stored)
    }

    fn fill(&mut self, fill: Fill, now_ms: u64, guards: Guards) -> Filled {
        if fill.lease.as_of.epoch != self.epoch {
            return Filled::OtherEpoch;
        }
        let held = self.leases.get(&fill.key).copied();
        let is_live = |held: Held| held.lease.token == fill.lease.token && held.until_ms > now_ms;
        let live = held.is_some_and(is_live);
        if live {
            self.leases.remove(&fill.key);
        } else if guards.has(Guard::FillChecksLease) {
            return Filled::LeaseLost;
        }
        let seen = fill.lease.as_of.seq.min(fill.entry.as_of.seq);
        let mut raised = false;
        for tag in &fill.entry.tags {
            let seq = self.seq;
            let (hard, _) = self.tags.entry(tag.clone()).or_insert((seq, seq));
            raised |= *hard > seen;
        }
        if raised && guards.has(Guard::FillChecksTags) {
            return Filled::Raised;
        }
        let mut entry = fill.entry;
        entry.as_of.seq = seen;
        if raised {
            // What is not refused passes for what is valid now.
            entry.as_of.seq = self.seq;
        }
        let age_ms = crate::stamp::millis(entry.age);
        let born_ms = held
            .map_or(now_ms, |held| held.born_ms)
            .saturating_sub(age_ms);
        self.entries.insert(fill.key, (entry, born_ms));
        Filled::Stored
    }

    fn announce(&mut self, event: Announced, position: Position) -> AsOf {
        self.seq = self.seq.next();
        self.position = self.position.max(position);
        self.stream.push(Announcement {
            epoch: self.epoch,
            seq: self.seq,
            position: self.position,
            event,
        });
        if std::mem::take(&mut self.trims) {
            self.stream.clear();
        }
        self.listeners.drain(..).for_each(Waker::wake);
        self.as_of()
    }
}

impl Shared for Tier {
    async fn lookup(&self, lookup: &Lookup) -> Result<Found, SharedError> {
        let token = Token(self.world.next_u64());
        let guards = self.guards;
        self.call(|server, now| server.lookup(lookup, token, now, guards))
            .await
    }

    async fn lookup_many(&self, lookups: &[Lookup]) -> Result<Vec<Found>, SharedError> {
        let tokens: Vec<Token> = lookups
            .iter()
            .map(|_| Token(self.world.next_u64()))
            .collect();
        let guards = self.guards;
        self.call(|server, now| {
            let pairs = lookups.iter().zip(tokens);
            pairs
                .map(|(lookup, token)| server.lookup(lookup, token, now, guards))
                .collect()
        })
        .await
    }

    async fn fill(&self, fill: Fill) -> Result<Filled, SharedError> {
        let guards = self.guards;
        self.call(|server, now| server.fill(fill, now, guards))
            .await
    }

    async fn fill_many(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, SharedError> {
        let guards = self.guards;
        self.call(|server, now| {
            let fills = fills.into_iter();
            fills.map(|fill| server.fill(fill, now, guards)).collect()
        })
        .await
    }

    async fn renew(
        &self,
        leases: &[shared::Held],
        lease: Duration,
    ) -> Result<Vec<bool>, SharedError> {
        self.call(|server, now| {
            let renew = |lease_of: &shared::Held| match server.leases.get_mut(&*lease_of.key) {
                Some(held) if held.lease.token == lease_of.token && held.until_ms > now => {
                    held.until_ms = now + crate::stamp::millis(lease);
                    true
                }
                _ => false,
            };
            leases.iter().map(renew).collect()
        })
        .await
    }

    async fn release(&self, key: &str, token: Token) -> Result<(), SharedError> {
        self.call(|server, _| {
            let ours = |held: &Held| held.lease.token == token;
            if server.leases.get(key).is_some_and(ours) {
                server.leases.remove(key);
            }
        })
        .await
    }

    async fn invalidate(
        &self,
        tags: &[Box<str>],
        strength: Strength,
        position: Position,
    ) -> Result<AsOf, SharedError> {
        self.call(|server, _| {
            let as_of = server.announce(Announced::Tags(tags.to_vec(), strength), position);
            for tag in tags {
                let seq = server.seq;
                let raised = server.tags.entry(tag.clone()).or_insert((seq, seq));
                match strength {
                    Strength::Hard => raised.0 = seq,
                    Strength::Soft => raised.1 = seq,
                }
            }
            as_of
        })
        .await
    }

    async fn remove(&self, keys: &[Box<str>], position: Position) -> Result<AsOf, SharedError> {
        let ends_loads = self.guards.has(Guard::RemovalEndsLoads);
        self.call(|server, _| {
            for key in keys {
                server.entries.remove(key);
                if ends_loads {
                    server.leases.remove(key);
                }
            }
            server.announce(Announced::Keys(keys.to_vec()), position)
        })
        .await
    }

    async fn remove_prefix(&self, prefix: &str, position: Position) -> Result<u64, SharedError> {
        self.call(|server, _| {
            let has = |key: &str| key.starts_with(prefix);
            let entries: BTreeSet<Box<str>> = server
                .entries
                .keys()
                .filter(|key| has(key))
                .cloned()
                .collect();
            server.entries.retain(|key, _| !has(key));
            server.leases.retain(|key, _| !has(key));
            server.announce(Announced::Prefix(prefix.into()), position);
            entries.len() as u64
        })
        .await
    }
}

/// What a node listens to.
pub(crate) struct Listening {
    tier: Tier,
    heard: Seq,
}

impl Listening {
    pub(crate) fn new(tier: Tier) -> Self {
        Self {
            tier,
            heard: Seq::default(),
        }
    }
}

impl Feed for Listening {
    async fn connect(&mut self) -> Result<(), SharedError> {
        self.tier.call(|_, _| ()).await
    }

    async fn mark(&mut self) -> Result<(AsOf, Position), SharedError> {
        let marked = self
            .tier
            .call(|server, _| (server.as_of(), server.position))
            .await?;
        self.heard = marked.0.seq;
        Ok(marked)
    }

    async fn beat(&mut self) -> Result<AsOf, SharedError> {
        self.tier.call(|server, _| server.as_of()).await
    }

    async fn next(&mut self, wait: Duration) -> Result<Vec<Announcement>, SharedError> {
        let until = self.tier.world.now() + wait;
        loop {
            let heard = self.heard;
            let new = self.tier.call(|server, _| {
                let new = server.stream.iter().filter(|event| event.seq > heard);
                new.cloned().collect::<Vec<_>>()
            });
            let new = new.await?;
            if let Some(last) = new.last() {
                self.heard = last.seq;
            }
            let left = until.since(self.tier.world.now());
            if !new.is_empty() || left.is_zero() {
                return Ok(new);
            }
            // The connection may be gone meanwhile: the next call will tell.
            let _ = timeout(&self.tier.world, left, self.tier.announced(heard)).await;
        }
    }
}
