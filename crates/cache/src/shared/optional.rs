//! A shared tier that there may be or not, by configuration.

use std::time::Duration;

use super::{Fill, Filled, Found, Held, Lookup, Shared, SharedError, Strength};
use crate::backplane::NoShared;
use crate::stamp::{AsOf, Position, Token};

impl<S: Shared> Shared for Option<S> {
    async fn lookup(&self, lookup: &Lookup) -> Result<Found, SharedError> {
        match self {
            Some(tier) => tier.lookup(lookup).await,
            None => NoShared.lookup(lookup).await,
        }
    }

    async fn lookup_many(&self, lookups: &[Lookup]) -> Result<Vec<Found>, SharedError> {
        match self {
            Some(tier) => tier.lookup_many(lookups).await,
            None => NoShared.lookup_many(lookups).await,
        }
    }

    async fn fill(&self, fill: Fill) -> Result<Filled, SharedError> {
        match self {
            Some(tier) => tier.fill(fill).await,
            None => NoShared.fill(fill).await,
        }
    }

    async fn fill_many(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, SharedError> {
        match self {
            Some(tier) => tier.fill_many(fills).await,
            None => NoShared.fill_many(fills).await,
        }
    }

    async fn renew(&self, leases: &[Held], lease: Duration) -> Result<Vec<bool>, SharedError> {
        match self {
            Some(tier) => tier.renew(leases, lease).await,
            None => NoShared.renew(leases, lease).await,
        }
    }

    async fn release(&self, key: &str, token: Token) -> Result<(), SharedError> {
        match self {
            Some(tier) => tier.release(key, token).await,
            None => NoShared.release(key, token).await,
        }
    }

    async fn invalidate(
        &self,
        tags: &[Box<str>],
        strength: Strength,
        position: Position,
    ) -> Result<AsOf, SharedError> {
        match self {
            Some(tier) => tier.invalidate(tags, strength, position).await,
            None => NoShared.invalidate(tags, strength, position).await,
        }
    }

    async fn remove(&self, keys: &[Box<str>], position: Position) -> Result<AsOf, SharedError> {
        match self {
            Some(tier) => tier.remove(keys, position).await,
            None => NoShared.remove(keys, position).await,
        }
    }

    async fn remove_prefix(&self, prefix: &str, position: Position) -> Result<u64, SharedError> {
        match self {
            Some(tier) => tier.remove_prefix(prefix, position).await,
            None => NoShared.remove_prefix(prefix, position).await,
        }
    }
}
