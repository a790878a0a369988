//! The port to a store that is everywhere and a little behind, as KV is on Workers.

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

/// A map from text to bytes that all isolates share. What is written is seen elsewhere within a minute, and
/// nothing of it is promised. Every call ends within a deadline of the implementation's own.
pub trait Far: Send + Sync + 'static {
    /// What is there, if it can be had.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<Bytes>>;

    /// The keys that begin so, a thousand at most, if that can be had.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Option<Vec<String>>>;

    /// Writes it, for so long; whether it was taken.
    fn put<'a>(&'a self, key: &'a str, value: Bytes, lasting: Duration) -> BoxFuture<'a, bool>;
}
