//! What all caches of a process share: the node, the tier behind it, and whether that is to be asked.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use pitchey_resilience::{Breaker, BreakerConfig};
use pitchey_runtime::{Clock, Random, Spawn, Timer};

use crate::node::Node;
use crate::shared::{Shared, SharedError, Strength};
use crate::stamp::{AsOf, Position};

/// All that a cache needs of the world.
pub trait World: Clock + Timer + Random + Spawn + Clone + Send + Sync + 'static {}

impl<T: Clock + Timer + Random + Spawn + Clone + Send + Sync + 'static> World for T {}

/// The node, the shared tier, and the breaker between them. Cheap to clone.
pub struct Backplane<S, R> {
    shared: Arc<Parts<S, R>>,
}

struct Parts<S, R> {
    node: Arc<Node>,
    tier: S,
    runtime: R,
    breaker: Breaker,
}

impl<S, R> Clone for Backplane<S, R> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<S, R> std::fmt::Debug for Backplane<S, R> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Backplane")
            .field("node", &self.shared.node)
            .field("breaker", &self.shared.breaker)
            .finish_non_exhaustive()
    }
}

/// A breaker for a shared tier: it costs its timeout a few times at most, and is tried again soon.
pub const SHARED_BREAKER: BreakerConfig = BreakerConfig {
    window: Duration::from_secs(2),
    calls: 200,
    minimum_calls: 5,
    failure_percent: 50,
    slow_call: Duration::from_millis(40),
    slow_percent: 80,
    half_open_calls: 2,
    open: Duration::from_millis(500),
    longest_open: Duration::from_secs(5),
};

impl<S: Shared, R: World> Backplane<S, R> {
    /// The parts together.
    pub fn new(node: Arc<Node>, tier: S, runtime: R, breaker: Breaker) -> Self {
        Self {
            shared: Arc::new(Parts {
                node,
                tier,
                runtime,
                breaker,
            }),
        }
    }

    /// The node.
    pub fn node(&self) -> &Arc<Node> {
        &self.shared.node
    }

    /// The breaker in front of the shared tier.
    pub fn breaker(&self) -> &Breaker {
        &self.shared.breaker
    }

    /// The shared tier itself, for tools.
    pub fn tier(&self) -> &S {
        &self.shared.tier
    }

    pub(crate) fn runtime(&self) -> &R {
        &self.shared.runtime
    }

    /// Asks the shared tier, unless it is known to be away.
    pub async fn ask<T>(
        &self,
        call: impl Future<Output = Result<T, SharedError>>,
    ) -> Result<T, SharedError> {
        let Parts {
            breaker, runtime, ..
        } = &*self.shared;
        let admitted = breaker
            .admit(runtime.now())
            .map_err(|open| SharedError::Unavailable(open.to_string()))?;
        let result = call.await;
        match &result {
            // A refusal is an answer: what it says of one call it need not say of another.
            Ok(_) | Err(SharedError::Refused(_)) => admitted.succeeded(runtime.now()),
            Err(_) => admitted.failed(runtime.now()),
        }
        result
    }

    /// Makes everything that carries one of these tags invalid (or, softly, stale), everywhere.
    ///
    /// `Ok` is the acknowledgement: no read that starts after it returns what was loaded before, but from
    /// another node's memory within [`NodeConfig::silence`](crate::NodeConfig::silence). After an error
    /// the invalidation holds on this node alone, which trusts nothing shared until it is attached anew;
    /// deliver it again.
    pub async fn invalidate(
        &self,
        tags: &[Box<str>],
        strength: Strength,
        position: Position,
    ) -> Result<(), SharedError> {
        let Parts { node, tier, .. } = &*self.shared;
        if node.is_alone() {
            node.unacknowledged(tags, strength, position);
            return Ok(());
        }
        // Dropped before its answer it may or may not be done: then it counts as not acknowledged.
        let pending = Pending {
            node,
            tags,
            strength,
            position,
        };
        let result = self.ask(tier.invalidate(tags, strength, position)).await;
        if let Ok(as_of) = &result {
            std::mem::forget(pending);
            node.acknowledged(tags, strength, *as_of, position);
        }
        result.map(|_: AsOf| ())
    }

    /// Removes keys everywhere; loads in flight do not fill them. The acknowledgement is like that of
    /// [`invalidate`](Self::invalidate).
    pub async fn remove(&self, keys: &[Box<str>], position: Position) -> Result<(), SharedError> {
        let Parts { node, tier, .. } = &*self.shared;
        node.advance(position);
        let result = if node.is_alone() {
            Ok(())
        } else {
            let removed = self.ask(tier.remove(keys, position)).await;
            removed.map(|_: AsOf| ())
        };
        for key in keys {
            node.drop_key(key);
        }
        result
    }

    /// Removes the keys that begin so, everywhere; how many entries the shared tier had.
    pub async fn remove_prefix(
        &self,
        prefix: &str,
        position: Position,
    ) -> Result<u64, SharedError> {
        let Parts { node, tier, .. } = &*self.shared;
        node.advance(position);
        let result = if node.is_alone() {
            Ok(0)
        } else {
            // No breaker: it walks over all keys, which takes its time.
            tier.remove_prefix(prefix, position).await
        };
        node.drop_prefix(prefix);
        result
    }
}

/// An invalidation whose answer is not there yet.
struct Pending<'a> {
    node: &'a Node,
    tags: &'a [Box<str>],
    strength: Strength,
    position: Position,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.node
            .unacknowledged(self.tags, self.strength, self.position);
    }
}

/// No shared tier: for a node that is alone, which never asks it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoShared;

mod no_shared {
    use std::time::Duration;

    use super::{AsOf, NoShared, Position, Shared, SharedError, Strength};
    use crate::shared::{Fill, Filled, Found, Held, Lookup};
    use crate::stamp::Token;

    fn none<T>() -> Result<T, SharedError> {
        Err(SharedError::Unavailable("there is none".to_owned()))
    }

    impl Shared for NoShared {
        async fn lookup(&self, _: &Lookup) -> Result<Found, SharedError> {
            none()
        }

        async fn lookup_many(&self, _: &[Lookup]) -> Result<Vec<Found>, SharedError> {
            none()
        }

        async fn fill(&self, _: Fill) -> Result<Filled, SharedError> {
            none()
        }

        async fn fill_many(&self, _: Vec<Fill>) -> Result<Vec<Filled>, SharedError> {
            none()
        }

        async fn renew(&self, _: &[Held], _: Duration) -> Result<Vec<bool>, SharedError> {
            none()
        }

        async fn release(&self, _: &str, _: Token) -> Result<(), SharedError> {
            none()
        }

        async fn invalidate(
            &self,
            _: &[Box<str>],
            _: Strength,
            _: Position,
        ) -> Result<AsOf, SharedError> {
            none()
        }

        async fn remove(&self, _: &[Box<str>], _: Position) -> Result<AsOf, SharedError> {
            none()
        }

        async fn remove_prefix(&self, _: &str, _: Position) -> Result<u64, SharedError> {
            none()
        }
    }
}
