//! Work that goes on behind an answer.

use std::future::Future;
use std::sync::Arc;

/// Runs work that nobody waits for.
///
/// On a server it belongs to a set of tasks that a stop waits for or ends; on Workers it keeps the
/// request alive (`waitUntil`). It may be ended at any moment, so nothing may depend on its being done.
pub trait Spawn {
    /// Begins `work`, which goes on after this has returned.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static);
}

impl<T: Spawn + ?Sized> Spawn for &T {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        (**self).spawn(work);
    }
}

impl<T: Spawn> Spawn for Arc<T> {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        (**self).spawn(work);
    }
}
