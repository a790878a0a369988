//! What the API needs beside the store, and a shell provides.

use crate::cache_desk::{CacheEntry, CacheStatus, Purge, Purged};
use pitchey_cache::stats::KindSnapshot;
use pitchey_resilience::{Quota, Verdict};
use pitchey_store::intake::{AnalyticsEvent, RumSample, View};
use secrecy::SecretString;
use std::pin::Pin;
use std::time::Duration;

/// A future in a box: these ports are called seldom enough to be trait objects.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Too much is being hashed already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy {
    /// When it may be worth trying again.
    pub retry_after: Duration,
}

/// A password that would be guessed too soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooWeak;

/// What came of a check.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Whether the password is the one.
    pub matches: bool,
    /// A hash with today's parameters, if it matches and the stored one has weaker ones.
    pub rehash: Option<SecretString>,
}

/// Hashing of passwords, kept from starving everything else.
pub trait Passwords: Send + Sync {
    /// The hash of a new password, unless it is too weak. `about` is what an attacker would try first:
    /// the names and the address of its owner.
    fn hash(
        &self,
        password: SecretString,
        about: Vec<String>,
    ) -> Boxed<'_, Result<Result<SecretString, TooWeak>, Busy>>;

    /// Whether this is the password behind a hash. Without a hash the work is the same and the answer no,
    /// so that nobody learns from the time it takes whether there is an account.
    fn verify(
        &self,
        password: SecretString,
        hash: Option<SecretString>,
    ) -> Boxed<'_, Result<Verified, Busy>>;
}

/// Counting of requests for limits that several origins share.
pub trait SharedLimits: Send + Sync {
    /// Counts a request of `key` if the quota allows it. Those of one `name` count together, and tell
    /// nothing of who they are by their keys.
    ///
    /// `None` where nobody can say at present: then an origin counts by itself. It ends within a deadline of
    /// its own, which it costs a few times at most while what counts hangs.
    fn count<'a>(
        &'a self,
        name: &'static str,
        quota: Quota,
        key: &'a str,
    ) -> Boxed<'a, Option<Verdict>>;
}

/// Counting and measuring, behind the answers: it never waits, and what does not fit is dropped and
/// counted as such.
pub trait Counters: Send + Sync {
    /// Somebody looked at a pitch.
    fn view(&self, view: View);
    /// A browser measured a page.
    fn rum(&self, samples: Vec<RumSample>);
    /// Something happened on a page.
    fn events(&self, events: Vec<AnalyticsEvent>);
}

/// What operators see of the caches of this origin, and do to them.
pub trait CacheDesk: Send + Sync + 'static {
    /// How they are.
    fn status(&self) -> CacheStatus;

    /// What they did, kind by kind.
    fn stats(&self) -> Vec<(&'static str, KindSnapshot)>;

    /// What the tiers hold under a key.
    fn inspect<'a>(&'a self, key: &'a str) -> Boxed<'a, CacheEntry>;

    /// Forgets, everywhere.
    fn purge(&self, purge: Purge) -> Boxed<'_, Purged>;
}
