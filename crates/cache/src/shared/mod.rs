//! The port to the tier that all nodes share: entries, the numbers of invalidations, and leases.
//!
//! Its operations are each atomic: an entry is looked up and checked against the numbers of its tags in
//! one step, and filled in one step.

#[cfg(feature = "testing")]
pub mod contract;
mod optional;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::stamp::{AsOf, Epoch, Lease, Position, Seq, Token};

/// Why a shared tier gave no answer. Whether what was asked for was done is then not known.
#[derive(Clone, Debug, Error)]
pub enum SharedError {
    /// It cannot be reached, or is not to be asked now.
    #[error("the shared tier is not available: {0}")]
    Unavailable(String),
    /// It did not answer in time.
    #[error("the shared tier did not answer in time")]
    Timeout,
    /// It refused: read-only, or full.
    #[error("the shared tier refused: {0}")]
    Refused(String),
}

/// An entry as it is stored: everything a node needs to judge it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What its load has seen.
    pub as_of: AsOf,
    /// How long ago its load began, by the clock of the shared tier. Filling, it is how long before the
    /// lease was granted that was: nought, unless the source is another node's cache.
    pub age: Duration,
    /// Times since the load began until which it is fresh, may be served while it is refreshed, and may
    /// be served when loading fails; what the load cost; and whether there is nothing there.
    pub meta: Meta,
    /// What it was made from.
    pub tags: Vec<Box<str>>,
    /// Whether a soft invalidation has met it: to be refreshed, but not wrong.
    pub softened: bool,
    /// The encoded value, its schema included.
    pub payload: Bytes,
}

/// The times of an entry, counted from the moment its load began, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Fresh until then.
    pub fresh_ms: u64,
    /// May be served until then while one refreshes it; at least `fresh_ms`.
    pub stale_ms: u64,
    /// May be served until then when loading fails; at least `fresh_ms`.
    pub error_ms: u64,
    /// How long its load took, in microseconds.
    pub cost_us: u64,
    /// Whether it says that there is nothing.
    pub absent: bool,
}

impl Meta {
    /// When nothing can be done with it any more, since the load began.
    pub fn ends_ms(&self) -> u64 {
        self.fresh_ms.max(self.stale_ms).max(self.error_ms)
    }
}

/// When a lookup wants the right to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// If there is no valid entry, or it is no longer fresh.
    IfStale,
    /// In any case: the entry is fresh and about to expire, or cannot be read.
    Always,
    /// Never.
    Never,
}

/// A lookup of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The key, its kind included.
    pub key: Box<str>,
    /// When to grant a lease.
    pub wish: Wish,
    /// How long a lease lasts. A lease also makes the numbers of these tags known, so that they count as
    /// not raised since.
    pub lease: Duration,
    /// The tags that are known before the load.
    pub tags: Vec<Box<str>>,
    /// How long the longest entry under these tags may live: their numbers live longer.
    pub keep: Duration,
}

/// What a lookup found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The entry, if it is there, of the present epoch, and none of its tags was raised since its load
    /// began. It may be stale.
    pub entry: Option<Stored>,
    /// What became of the wish for a lease.
    pub lease: Granted,
}

/// A lease that somebody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The key, its kind included.
    pub key: Arc<str>,
    /// What shows that it is theirs.
    pub token: Token,
}

/// What became of the wish for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// None was wished for, or the entry is fresh.
    NotNeeded,
    /// It is ours.
    Ours(Lease),
    /// Another has it; it expires or ends after so long at most.
    Held(Duration),
}

/// What is to be stored.
#[derive(Clone, Debug)]
pub struct Fill {
    /// The key, its kind included.
    pub key: Box<str>,
    /// The lease under which it was loaded; it ends with the fill.
    pub lease: Lease,
    /// The entry: `as_of` is that of the lease, or an earlier one in the same epoch, if the source is another
    /// node's cache.
    pub entry: Stored,
    /// How long it is kept from now on; the tier's own limit.
    pub keep: Duration,
}

/// What became of a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// It is stored.
    Stored,
    /// The lease is no longer ours: it expired, was taken over, or the key was removed.
    LeaseLost,
    /// A tag was raised since the load began: what was loaded may be old.
    Raised,
    /// The numbers are of another epoch.
    OtherEpoch,
}

/// What makes an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// What carries the tag is wrong from now on.
    Hard,
    /// What carries the tag is to be refreshed, and may be served meanwhile as stale.
    Soft,
}

/// The tier that all nodes share.
///
/// # What an implementation promises
/// - Operations on it are atomic and seen by all nodes in one order.
/// - An entry found is of the present epoch, and each of its tags is known and was raised at `as_of` or before.
/// - A fill with a token that is not the key's live one is refused, and so is one whose tags were raised
///   above what it has seen.
/// - Numbers only grow within an epoch; if they may have been lost or set back, the epoch is another.
/// - Every call ends within a deadline of the implementation's own.
pub trait Shared: Send + Sync + 'static {
    /// Looks a key up, and asks for the right to load it.
    fn lookup(&self, lookup: &Lookup) -> impl Future<Output = Result<Found, SharedError>> + Send;

    /// Looks many keys up in one round trip. The answers are in the order of the keys.
    fn lookup_many(
        &self,
        lookups: &[Lookup],
    ) -> impl Future<Output = Result<Vec<Found>, SharedError>> + Send;

    /// Stores what was loaded under a lease, and ends the lease.
    fn fill(&self, fill: Fill) -> impl Future<Output = Result<Filled, SharedError>> + Send;

    /// Stores many in one round trip. The answers are in the order of the fills.
    fn fill_many(
        &self,
        fills: Vec<Fill>,
    ) -> impl Future<Output = Result<Vec<Filled>, SharedError>> + Send;

    /// Has leases last for `lease` from now on, in one round trip. For each, in their order, whether it is
    /// still its holder's: one that has expired, or whose key was removed, is lost for good.
    fn renew(
        &self,
        leases: &[Held],
        lease: Duration,
    ) -> impl Future<Output = Result<Vec<bool>, SharedError>> + Send;

    /// Ends a lease without a fill, so that another may load at once.
    fn release(
        &self,
        key: &str,
        token: Token,
    ) -> impl Future<Output = Result<(), SharedError>> + Send;

    /// Raises tags: constant work for each, however many entries carry it. `position` is where the change
    /// behind it stands in the log of the source. When this returns, no lookup gives an entry that was
    /// loaded before (if hard).
    fn invalidate(
        &self,
        tags: &[Box<str>],
        strength: Strength,
        position: Position,
    ) -> impl Future<Output = Result<AsOf, SharedError>> + Send;

    /// Removes entries and their leases, so that loads in flight cannot fill them. `position` is that of
    /// what the next load must see.
    fn remove(
        &self,
        keys: &[Box<str>],
        position: Position,
    ) -> impl Future<Output = Result<AsOf, SharedError>> + Send;

    /// Removes the entries and leases whose keys begin so; how many entries there were. Not constant: it
    /// walks over all keys, in steps.
    fn remove_prefix(
        &self,
        prefix: &str,
        position: Position,
    ) -> impl Future<Output = Result<u64, SharedError>> + Send;
}

/// What a node hears from the shared tier. Numbers have no gaps: who misses one has missed an
/// invalidation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The epoch.
    pub epoch: Epoch,
    /// The number of it. Removals have numbers as well.
    pub seq: Seq,
    /// Where the change behind it stands in the log of the source.
    pub position: Position,
    /// What happened.
    pub event: Announced,
}

/// What was announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announced {
    /// Tags were raised.
    Tags(Vec<Box<str>>, Strength),
    /// Keys were removed.
    Keys(Vec<Box<str>>),
    /// All keys that begin so were removed.
    Prefix(Box<str>),
}
