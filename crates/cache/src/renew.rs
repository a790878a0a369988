//! Keeps leases alive for as long as the load under them goes on.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;

use futures::future::{Either, select};
use pitchey_runtime::Monotonic;

use crate::backplane::World;
use crate::cache::{Inner, Kind};
use crate::entry::Value;
use crate::memory::Memory;
use crate::shared::{Held, Shared};

/// How often a lease is renewed while it lasts: it survives two calls that fail.
const TRIES: u32 = 3;

impl<V, E, M, S, R> Inner<V, E, M, S, R>
where
    V: Value,
    E: Clone + Send + Sync + 'static,
    M: Memory<V>,
    S: Shared,
    R: World,
{
    /// Runs a load, and meanwhile renews its leases, which were asked for at `asked`. `extended` is told
    /// until when they last, each time that it has changed.
    pub(crate) async fn while_renewing<T>(
        &self,
        kind: Kind,
        leases: Vec<Held>,
        asked: Monotonic,
        extended: impl Fn(Monotonic),
        load: impl Future<Output = T>,
    ) -> T {
        if leases.is_empty() {
            return load.await;
        }
        let renewing = pin!(self.renew(kind, leases, asked, extended));
        match select(pin!(load), renewing).await {
            Either::Left((loaded, _)) => loaded,
            Either::Right((never, _)) => match never {},
        }
    }

    async fn renew(
        &self,
        kind: Kind,
        mut leases: Vec<Held>,
        asked: Monotonic,
        extended: impl Fn(Monotonic),
    ) -> Infallible {
        let policy = &self.kind(kind).policy;
        let runtime = self.backplane.runtime();
        let end = asked + policy.longest_lease();
        while !leases.is_empty() {
            runtime.sleep(policy.lease() / TRIES).await;
            let now = runtime.now();
            let lease = policy.lease().min(end.since(now));
            // Shortening it would take away what it has.
            if lease <= policy.lease() / TRIES {
                break;
            }
            let renewed = self.backplane.tier().renew(&leases, lease);
            // After an error: what was not renewed lasts for some more tries.
            if let Ok(renewed) = self.backplane.ask(renewed).await {
                let mut renewed = renewed.into_iter();
                // What was lost, the fill will be told.
                leases.retain(|_| renewed.next() == Some(true));
                if !leases.is_empty() {
                    extended(now + lease);
                }
            }
        }
        std::future::pending().await
    }
}
