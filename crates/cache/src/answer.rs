//! What a reader gets.

use std::fmt;
use std::sync::Arc;

use crate::entry::Entry;

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum From {
    /// The node's memory.
    Memory,
    /// The tier that all nodes share.
    Shared,
    /// The source.
    Source,
    /// A load or a lookup that somebody else had begun, here or on another node.
    Coalesced,
}

/// Why an answer is good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It is fresh.
    Fresh,
    /// It is stale within its window, and somebody refreshes it.
    Stale,
    /// It is stale, and loading failed.
    StaleOnError,
    /// Loading failed, and nobody could say whether it is still valid.
    Unverified,
}

/// An answer.
pub struct Answer<V> {
    /// The entry.
    pub entry: Arc<Entry<V>>,
    /// Where it came from.
    pub from: From,
    /// Why it is good enough.
    pub state: State,
}

impl<V> Answer<V> {
    pub(crate) fn new(entry: Arc<Entry<V>>, from: From, state: State) -> Self {
        Self { entry, from, state }
    }

    /// The value.
    pub fn value(&self) -> &V {
        self.entry.value()
    }
}

impl<V> Clone for Answer<V> {
    fn clone(&self) -> Self {
        Self {
            entry: self.entry.clone(),
            from: self.from,
            state: self.state,
        }
    }
}

impl<V> fmt::Debug for Answer<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Answer")
            .field("from", &self.from)
            .field("state", &self.state)
            .field("entry", &self.entry)
            .finish()
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GetError<E> {
    /// The source failed, and there was nothing to serve instead.
    #[error("loading failed")]
    Load(#[source] E),
    /// Loading took too long, here or where it was waited for.
    #[error("loading took too long")]
    Timeout,
    /// Of many, the source gave not as many values as it was asked for.
    #[error("the source did not give every value that it was asked for")]
    Incomplete,
}
