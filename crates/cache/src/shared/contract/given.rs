//! What the suite looks up and fills.

use std::time::Duration;

use bytes::Bytes;

use super::super::{
    Fill, Filled, Found, Granted, Held, Lookup, Meta, Shared, SharedError, Stored, Wish,
};
use crate::stamp::Lease;

/// Longer than any test.
pub(super) const LONG: Duration = Duration::from_mins(10);

/// Long enough for several calls, short enough to wait for.
pub(super) const SHORT: Duration = Duration::from_millis(60);

pub(super) fn names(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|name| Box::from(*name)).collect()
}

pub(super) fn lookup(key: &str, wish: Wish, tags: &[&str]) -> Lookup {
    Lookup {
        key: key.into(),
        wish,
        lease: LONG,
        tags: names(tags),
        keep: LONG,
    }
}

pub(super) fn held(key: &str, lease: Lease) -> Held {
    Held {
        key: key.into(),
        token: lease.token,
    }
}

pub(super) fn entry(lease: Lease, text: &str, tags: &[&str]) -> Stored {
    Stored {
        as_of: lease.as_of,
        age: Duration::ZERO,
        meta: Meta {
            fresh_ms: 600_000,
            stale_ms: 700_000,
            error_ms: 800_000,
            cost_us: 1234,
            absent: false,
        },
        tags: names(tags),
        softened: false,
        payload: Bytes::copy_from_slice(text.as_bytes()),
    }
}

pub(super) fn fill_of(key: &str, lease: Lease, text: &str, tags: &[&str]) -> Fill {
    Fill {
        key: key.into(),
        lease,
        entry: entry(lease, text, tags),
        keep: LONG,
    }
}

/// A lease of a key that must be free.
pub(super) async fn leased(
    shared: &impl Shared,
    key: &str,
    tags: &[&str],
) -> Result<Lease, SharedError> {
    let found = shared.lookup(&lookup(key, Wish::IfStale, tags)).await?;
    Ok(ours(&found))
}

pub(super) fn ours(found: &Found) -> Lease {
    match found.lease {
        Granted::Ours(lease) => lease,
        other => panic!("a lease is free to be granted, and not {other:?}"),
    }
}

/// Loads a key, whose lease must be free.
pub(super) async fn load(
    shared: &impl Shared,
    key: &str,
    text: &str,
    tags: &[&str],
) -> Result<Filled, SharedError> {
    let lease = leased(shared, key, tags).await?;
    shared.fill(fill_of(key, lease, text, tags)).await
}

/// Loads a key that nothing prevents from being filled.
pub(super) async fn given(
    shared: &impl Shared,
    key: &str,
    text: &str,
    tags: &[&str],
) -> Result<(), SharedError> {
    assert_eq!(load(shared, key, text, tags).await?, Filled::Stored);
    Ok(())
}

/// What is there, without a wish for a lease.
pub(super) async fn seen(shared: &impl Shared, key: &str) -> Result<Option<Stored>, SharedError> {
    let found = shared.lookup(&lookup(key, Wish::Never, &[])).await?;
    assert_eq!(found.lease, Granted::NotNeeded);
    Ok(found.entry)
}

/// The text that is there.
pub(super) async fn text(shared: &impl Shared, key: &str) -> Result<Option<String>, SharedError> {
    let entry = seen(shared, key).await?;
    Ok(entry.map(|entry| String::from_utf8_lossy(&entry.payload).into_owned()))
}
