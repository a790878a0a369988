//! The port to what the edge runs on.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use pitchey_cache::World;

use crate::slot::Slot;

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why the origin gave no response.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It took too long.
    #[error("the origin took too long")]
    Timeout,
    /// The client's own body broke off or was larger than it may be.
    #[error("the body of the request could not be sent")]
    Upload(#[source] BoxError),
    /// It could not be reached, or what it said was no HTTP.
    #[error("the origin did not answer")]
    Failed(#[source] BoxError),
}

/// What the edge runs on: the ports of time, randomness and background work, and these. Cheap to clone.
pub trait Platform: World {
    /// The body of a request, as it comes from the client. The default is an empty one.
    type Upload: Default + Send + 'static;
    /// The body of a response, as it comes from the origin. It ends with an error if it stalls.
    type Download: http_body::Body<Data = Bytes, Error = BoxError> + Send + Unpin + 'static;
    /// Where responses are kept.
    type Store: Store;

    /// Whether one request may wait for what another one fetches. Not on Workers.
    const COALESCES: bool;

    /// Sends a request, whose URI is absolute, to the origin, within a deadline of its own.
    fn fetch(
        &self,
        request: Request<Self::Upload>,
    ) -> impl Future<Output = Result<Response<Self::Download>, FetchError>> + Send;

    /// Where responses are kept.
    fn store(&self) -> &Self::Store;
}

/// A bounded map from the path and query of an address to what is stored for it. It may forget anything.
pub trait Store: Send + Sync + 'static {
    /// What is stored. On the hit path: it does not allocate.
    fn get(&self, key: &str) -> impl Future<Output = Option<Arc<Slot>>> + Send;

    /// Puts what `change` makes of what is there in its place, or removes it. Atomic where the platform
    /// can do that; else the last one wins. What lies in several places is changed in each.
    fn update(
        &self,
        key: &str,
        change: impl Fn(Option<&Arc<Slot>>) -> Option<Arc<Slot>> + Send + Sync,
    ) -> impl Future<Output = ()> + Send;

    /// Removes it; `false` if it may still be somewhere.
    fn remove(&self, key: &str) -> impl Future<Output = bool> + Send {
        let removing = self.update(key, |_| None);
        async move {
            removing.await;
            true
        }
    }

    /// Removes everything under keys that begin so; `false` from a store that cannot walk over its keys.
    fn remove_prefix(&self, prefix: &str) -> impl Future<Output = bool> + Send {
        let _ = prefix;
        std::future::ready(false)
    }

    /// The largest body that is kept, in bytes.
    fn largest_body(&self) -> u64;

    /// How many slots there are, and what they weigh together, in bytes; about.
    fn size(&self) -> (u64, u64);
}
