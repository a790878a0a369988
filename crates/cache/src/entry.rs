//! An entry in memory, and what may be done with it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pitchey_runtime::Monotonic;

use crate::policy::early_window;
use crate::shared::Meta;
use crate::stamp::{AsOf, Position, Stamp};
use crate::tag::TagCell;

/// A value, with everything that decides whether it may be used.
pub struct Entry<V> {
    pub(crate) value: V,
    pub(crate) absent: bool,
    pub(crate) stamp: Stamp,
    /// The moment of its stamp: what is in it is no older.
    pub(crate) began: Monotonic,
    pub(crate) born: Monotonic,
    pub(crate) fresh_until: Monotonic,
    /// From when on it may be refreshed early.
    pub(crate) early_from: Monotonic,
    pub(crate) stale_until: Monotonic,
    pub(crate) error_until: Monotonic,
    /// Until when this copy may be used without asking the tier it is from.
    pub(crate) memory_until: Monotonic,
    pub(crate) cost: Duration,
    pub(crate) tags: Box<[Arc<TagCell>]>,
    pub(crate) softened: bool,
    pub(crate) weight: u32,
    refreshing: AtomicBool,
}

/// What the times of an entry follow from.
pub(crate) struct Times {
    /// When its load began.
    pub(crate) born: Monotonic,
    pub(crate) meta: Meta,
    pub(crate) softened: bool,
    /// When this copy was made or compared.
    pub(crate) copied: Monotonic,
    /// For how long it need not be compared again.
    pub(crate) memory: Duration,
    pub(crate) early_refresh: f64,
}

/// What an entry is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To be served.
    Fresh,
    /// Fresh by its age, but its copy is to be compared with the tier it is from.
    Elapsed,
    /// To be served while it is refreshed.
    Stale,
    /// Good for nothing but an error's place.
    Expired,
    /// A tag was raised since: good for nothing.
    Invalid,
}

impl<V> Entry<V> {
    pub(crate) fn new(
        value: V,
        weight: usize,
        stamp: Stamp,
        began: Monotonic,
        tags: Box<[Arc<TagCell>]>,
        times: &Times,
    ) -> Self {
        let Times {
            born, copied, meta, ..
        } = *times;
        let after = |ms| born + Duration::from_millis(ms);
        let cost = Duration::from_micros(meta.cost_us);
        let fresh_until = after(meta.fresh_ms);
        // What stands around the value: itself, its key, its place in a map.
        let own = size_of::<Self>() + 128 + tags.len() * size_of::<Arc<TagCell>>();
        Self {
            value,
            absent: meta.absent,
            stamp,
            began,
            born,
            fresh_until,
            stale_until: after(meta.stale_ms),
            error_until: after(meta.error_ms),
            memory_until: copied + times.memory,
            early_from: Monotonic::from_start(
                fresh_until
                    .since_start()
                    .saturating_sub(early_window(cost, times.early_refresh)),
            ),
            cost,
            tags,
            softened: times.softened,
            weight: u32::try_from(weight + own).unwrap_or(u32::MAX),
            refreshing: AtomicBool::new(false),
        }
    }

    /// The value.
    pub fn value(&self) -> &V {
        &self.value
    }

    /// Whether it says that there is nothing.
    pub fn is_absent(&self) -> bool {
        self.absent
    }

    /// About how many bytes it takes, key and value.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// How long ago its load began.
    pub fn age(&self, now: Monotonic) -> Duration {
        now.since(self.born)
    }

    /// How long it is fresh from `now` on.
    pub fn fresh_for(&self, now: Monotonic) -> Duration {
        self.fresh_until.since(now)
    }

    /// What it is good for, as far as its tags and its age tell: the node may trust no entry at all.
    pub fn verdict(&self, now: Monotonic) -> Verdict {
        self.judge(now, true)
    }

    /// The names of its tags.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().map(|tag| tag.name())
    }

    #[inline]
    pub(crate) fn is_raised(&self) -> bool {
        self.tags.iter().any(|tag| tag.raised() > self.stamp)
    }

    /// Judges it by its tags and its age. Whether the cells of its tags are to be trusted is for the node.
    #[inline]
    pub(crate) fn judge(&self, now: Monotonic, checks_tags: bool) -> Verdict {
        let mut softened = self.softened;
        for tag in &self.tags {
            if tag.raised() > self.stamp && checks_tags {
                return Verdict::Invalid;
            }
            softened |= tag.softened() > self.stamp;
        }
        if now >= self.fresh_until || softened {
            if now < self.stale_until {
                Verdict::Stale
            } else {
                Verdict::Expired
            }
        } else if now >= self.memory_until {
            Verdict::Elapsed
        } else {
            Verdict::Fresh
        }
    }

    /// Whether it may be served in place of an error.
    pub(crate) fn may_replace_error(&self, now: Monotonic) -> bool {
        now < self.error_until.max(self.fresh_until).max(self.stale_until) && !self.is_raised()
    }

    /// The right to refresh it: given to one.
    pub(crate) fn claim_refresh(&self) -> bool {
        !self.refreshing.swap(true, Ordering::AcqRel)
    }

    /// Gives the right back: the refresh came to nothing.
    pub(crate) fn unclaim_refresh(&self) {
        self.refreshing.store(false, Ordering::Release);
    }
}

impl<V> fmt::Debug for Entry<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Entry")
            .field("absent", &self.absent)
            .field("stamp", &self.stamp)
            .field("fresh_until", &self.fresh_until)
            .field("tags", &self.tags().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// What a source gives.
#[derive(Clone, Debug)]
pub struct Loaded<V> {
    /// The value.
    pub value: V,
    /// Whether it says that there is nothing: then it lives for the negative time.
    pub absent: bool,
    /// Tags that only the load has found, beside those that were known before.
    pub tags: Vec<Box<str>>,
    /// What it has seen.
    pub vintage: Vintage,
}

/// Which invalidations a loaded value has seen: how it is stamped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vintage {
    /// All that were numbered before the load began. The source is that of truth.
    #[default]
    Present,
    /// Those up to a moment of the shared tier's numbers. The source is another node's cache: what it gives
    /// is no younger than it is there, whenever it is asked for.
    ///
    /// Such a value is kept in memory alone, and only while the node is attached to the same numbers.
    Until {
        /// The moment before its load began.
        as_of: AsOf,
        /// How long before this load that one began.
        age: Duration,
    },
    /// Those that were acknowledged so long before the load began, on a node that hears nothing and counts time
    /// alone: the value is as old as what is known of what it had to have seen.
    ///
    /// A node that is attached cannot say it in its numbers, and does not keep it.
    Before {
        /// How long.
        age: Duration,
    },
    /// Nobody knows: it is given to those who wait, and not kept.
    Unknown,
}

impl<V> Loaded<V> {
    /// A value with no tags beside the known ones.
    pub fn new(value: V) -> Self {
        Self {
            value,
            absent: false,
            tags: Vec::new(),
            vintage: Vintage::Present,
        }
    }
}

/// What a load must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Only copies of the source that have come this far may be read.
    pub position: Position,
    /// Whether nobody waits for it.
    pub background: bool,
}

/// What can be cached: values that survive a trip as bytes.
pub trait Value: Sized + Send + Sync + 'static {
    /// Raised whenever the bytes mean something else: entries of another schema are misses.
    const SCHEMA: u16;

    /// Appends the bytes.
    fn encode(&self, bytes: &mut Vec<u8>);

    /// Reads the bytes, all of them; `None` if they are not what `encode` makes.
    fn decode(bytes: bytes::Bytes) -> Option<Self>;

    /// About how many bytes it takes in memory.
    fn weight(&self) -> usize;
}

/// Where a value comes from.
pub trait Source<V, E>: Send + Sync + 'static {
    /// The tags that are known before the load.
    fn tags(&self) -> Vec<Box<str>>;

    /// The kinds of tags (what stands before the colon) that a load may find as it goes.
    fn discovers(&self) -> &'static [&'static str] {
        &[]
    }

    /// Loads it. Called anew if what was loaded turns out to be old already.
    fn load(&self, load: Load) -> impl Future<Output = Result<Loaded<V>, E>> + Send;
}
