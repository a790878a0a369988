//! A panic in a handler ends its request, and nothing else.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;

/// The future has panicked. What and where is in the log already, by the hook of telemetry.
#[derive(Debug)]
pub(super) struct Panicked;

/// Runs `future` and stops its panic.
///
/// It is safe to go on: what a handler shares with others is behind locks that are poisoned, and
/// behind pools that check what is given back to them.
pub(super) async fn catch<F: Future>(future: F) -> Result<F::Output, Panicked> {
    AssertUnwindSafe(future)
        .catch_unwind()
        .await
        .map_err(|_payload| Panicked)
}
