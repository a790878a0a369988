//! The HTTP API: representations, problem documents and handlers over the repository ports.
//!
//! Handlers are written once, here, and mounted by every shell that serves the API. A shell adds what is
//! about the connection rather than the answer: request ids ([`RequestId`]), deadlines, logs and metrics.

mod browse;
mod coding;
mod cursor;
mod detail;
#[cfg(feature = "docs")]
mod docs;
mod fields;
mod finish;
mod health;
mod params;
pub mod problem;
mod problems;
mod represent;
mod routes;
mod search;
mod users;

#[cfg(test)]
mod tests;

pub use cursor::CursorKey;
pub use health::Readiness;
pub use problem::{Problem, RequestId};
pub use routes::{openapi, router};

use pitchey_runtime::Clock;
use std::sync::Arc;

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub struct ApiState<S> {
    pub(crate) store: S,
    pub(crate) clock: Arc<dyn Clock + Send + Sync>,
    pub(crate) cursor_key: CursorKey,
    pub(crate) readiness: Readiness,
    pub(crate) version: &'static str,
}

impl<S> ApiState<S> {
    /// `version` is that of the build; health answers tell it.
    pub fn new(
        store: S,
        clock: impl Clock + Send + Sync + 'static,
        cursor_key: CursorKey,
        readiness: Readiness,
        version: &'static str,
    ) -> Self {
        Self {
            store,
            clock: Arc::new(clock),
            cursor_key,
            readiness,
            version,
        }
    }
}
