//! Entries from what was loaded or found, and what is asked and stored in the shared tier.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pitchey_runtime::Monotonic;

use crate::backplane::World;
use crate::cache::{Inner, Kind};
use crate::entry::{Entry, Times, Value};
use crate::guard::Guard;
use crate::memory::Memory;
use crate::node::Begin;
use crate::shared::{Fill, Lookup, Meta, Shared, Stored, Wish};
use crate::stamp::{Lease, Position, Stamp, millis};

/// Tags are remembered for this much longer than the entries that carry them.
const TAG_SLACK: Duration = Duration::from_mins(1);

/// Why an entry of the shared tier is of no use.
pub(crate) enum Unusable {
    /// Its numbers are not those that this node knows.
    OtherEpoch,
    /// Its bytes are not what they should be.
    Undecodable,
}

impl<V, E, M, S, R> Inner<V, E, M, S, R>
where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
{
    pub(crate) fn lookup(&self, kind: Kind, key: &str, wish: Wish, tags: Vec<Box<str>>) -> Lookup {
        let policy = &self.kind(kind).policy;
        let ends = policy.fresh + policy.stale_while_revalidate.max(policy.stale_if_error);
        Lookup {
            key: key.into(),
            wish,
            lease: policy.lease(),
            tags,
            keep: ends + TAG_SLACK,
        }
    }

    /// How far a copy of the source must have come for a load that begins now. Without a lease nobody
    /// tells how far the others have come: then only the source itself will do.
    pub(crate) fn position(&self, begin: Begin, lease: Option<Lease>) -> Position {
        let node = self.backplane.node();
        if !node.guards().has(Guard::Position) {
            return Position::default();
        }
        match lease {
            Some(lease) => lease.position.max(begin.position),
            None if node.is_alone() => begin.position,
            None => Position::SOURCE,
        }
    }

    /// The times of something that was loaded, for all tiers or for memory alone.
    pub(crate) fn meta(&self, kind: Kind, shared: bool, absent: bool, took: Duration) -> Meta {
        let policy = &self.kind(kind).policy;
        let bits = self.backplane.runtime().next_u64();
        let share = (bits >> 11) as f64 / (1_u64 << 53) as f64;
        let jitter = 1.0 - share * f64::from(policy.jitter_percent) / 100.0;
        let whole = if absent {
            policy.negative
        } else {
            policy.fresh_with(shared)
        };
        let fresh = whole.mul_f64(jitter);
        let (stale, error) = if absent {
            (fresh, fresh)
        } else {
            (
                fresh + policy.stale_while_revalidate,
                fresh + policy.stale_if_error,
            )
        };
        Meta {
            fresh_ms: millis(fresh),
            stale_ms: millis(stale),
            error_ms: millis(error),
            cost_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            absent,
        }
    }

    /// An entry of what was loaded: stamped, and born, at these moments.
    pub(crate) fn made(
        &self,
        kind: Kind,
        key: &str,
        value: V,
        (stamp, began): (Stamp, Monotonic),
        tags: &[Box<str>],
        (meta, born): (Meta, Monotonic),
    ) -> Entry<V> {
        let weight = value.weight() + key.len();
        let times = self.times(kind, born, meta, false);
        let cells = self.cells(tags, &[]);
        Entry::new(value, weight, stamp, began, cells, &times)
    }

    /// An entry of the shared tier as one of memory: valid at the moment it was asked for, so it has seen
    /// everything that was known here before.
    pub(crate) fn found(
        &self,
        kind: Kind,
        key: &str,
        stored: Stored,
        (begin, asked): (Begin, Monotonic),
    ) -> Result<Arc<Entry<V>>, Unusable> {
        let node = self.backplane.node();
        let stamp = node.stamp_of(stored.as_of, begin);
        let stamp = stamp.ok_or(Unusable::OtherEpoch)?;
        let value = decode::<V>(stored.payload).ok_or(Unusable::Undecodable)?;
        let born = Monotonic::from_start(asked.since_start().saturating_sub(stored.age));
        let meta = remaining(stored.meta, stored.age, asked);
        let times = self.times(kind, born, meta, stored.softened);
        let weight = value.weight() + key.len();
        let cells = self.cells(&stored.tags, &[]);
        let entry = Entry::new(value, weight, stamp, asked, cells, &times);
        Ok(Arc::new(entry))
    }

    fn times(&self, kind: Kind, born: Monotonic, meta: Meta, softened: bool) -> Times {
        let policy = &self.kind(kind).policy;
        let alone = self.backplane.node().is_alone() || policy.shared.is_zero();
        Times {
            born,
            meta,
            softened,
            copied: self.backplane.runtime().now(),
            memory: if alone {
                Duration::from_millis(meta.fresh_ms)
            } else {
                policy.memory
            },
            early_refresh: policy.early_refresh,
        }
    }
}

pub(crate) fn fill(
    key: &str,
    lease: Lease,
    tags: Vec<Box<str>>,
    meta: Meta,
    payload: Bytes,
) -> Fill {
    Fill {
        key: key.into(),
        lease,
        entry: Stored {
            as_of: lease.as_of,
            age: Duration::ZERO,
            meta,
            tags,
            softened: false,
            payload,
        },
        keep: Duration::from_millis(meta.ends_ms()),
    }
}

/// The times of an entry whose birth lies before the clock's start, counted from there.
pub(crate) fn remaining(meta: Meta, age: Duration, asked: Monotonic) -> Meta {
    let lost = millis(age.saturating_sub(asked.since_start()));
    Meta {
        fresh_ms: meta.fresh_ms.saturating_sub(lost),
        stale_ms: meta.stale_ms.saturating_sub(lost),
        error_ms: meta.error_ms.saturating_sub(lost),
        ..meta
    }
}

/// The schema, then the value.
pub(crate) fn encode<V: Value>(value: &V) -> Bytes {
    let mut bytes = Vec::with_capacity(value.weight() + 16);
    bytes.extend_from_slice(&V::SCHEMA.to_le_bytes());
    value.encode(&mut bytes);
    bytes.into()
}

fn decode<V: Value>(mut bytes: Bytes) -> Option<V> {
    if bytes.len() < 2 {
        return None;
    }
    let schema = bytes.split_to(2);
    (schema[..] == V::SCHEMA.to_le_bytes()).then(|| V::decode(bytes))?
}
