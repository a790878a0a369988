//! The HTTP API: representations, problem documents and handlers over the repository ports.
//!
//! Handlers are written once, here, and mounted by every shell that serves the API. A shell adds what is
//! about the connection rather than the answer: request ids ([`RequestId`]), deadlines, logs and metrics.

mod account;
mod admit;
mod beacons;
mod body;
mod browse;
mod cache_desk;
pub mod cached;
mod coding;
mod cursor;
mod dashboards;
mod deals;
mod detail;
#[cfg(feature = "docs")]
mod docs;
pub mod edge;
mod extract;
mod fields;
mod finish;
mod health;
mod limits;
mod listing;
mod manage;
mod memory_reads;
mod money;
mod notifications;
mod once;
mod page;
mod params;
pub mod ports;
mod position;
mod priority;
pub mod problem;
mod problems;
mod protect;
mod realtime;
mod regional;
mod represent;
mod routes;
mod saved;
mod search;
mod session;
mod site;
mod users;

#[cfg(test)]
mod tests;

pub use cache_desk::{
    CacheEntry, CacheStatus, MemoryStatus, PublicReads, Purge, Purged, TierEntry,
};
pub use cached::{CachedResponse, ResponseKind, Responses, SessionCache};
pub use cursor::CursorKey;
pub use health::Readiness;
pub use limits::Class as RouteClass;
pub use memory_reads::MemoryReads;
pub use priority::priority_of;
pub use problem::{Problem, RequestId};
pub use regional::{RegionalAnswer, RegionalReads};
pub use routes::{full_router, openapi, public_reads, router};
pub use session::cache_key as session_cache_key;
pub use site::{ClientAddress, LimitSettings, Site, SiteSettings};

use pitchey_model::ticket::TicketKeys;
use pitchey_runtime::Clock;
use ports::SharedLimits;
use std::sync::Arc;

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub struct ApiState<S> {
    pub(crate) store: S,
    pub(crate) clock: Arc<dyn Clock + Send + Sync>,
    pub(crate) cursor_key: CursorKey,
    pub(crate) readiness: Readiness,
    pub(crate) version: &'static str,
    pub(crate) responses: Option<Arc<dyn Responses>>,
    pub(crate) sessions: Option<Arc<dyn SessionCache>>,
    pub(crate) cache_desk: Option<Arc<dyn ports::CacheDesk>>,
    pub(crate) shared_limits: Option<Arc<dyn SharedLimits>>,
    pub(crate) tickets: Option<TicketKeys>,
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
            responses: None,
            sessions: None,
            cache_desk: None,
            shared_limits: None,
            tickets: None,
        }
    }

    /// The same, with answers and sessions from caches.
    #[must_use]
    pub fn with_caches(
        self,
        responses: Arc<dyn Responses>,
        sessions: Arc<dyn SessionCache>,
    ) -> Self {
        Self {
            responses: Some(responses),
            sessions: Some(sessions),
            ..self
        }
    }
    /// The same, with a desk for those who look after the caches.
    #[must_use]
    pub fn with_cache_desk(self, desk: Arc<dyn ports::CacheDesk>) -> Self {
        Self {
            cache_desk: Some(desk),
            ..self
        }
    }

    /// The same, with a realtime server beside it that knows these keys.
    #[must_use]
    pub fn with_tickets(self, keys: TicketKeys) -> Self {
        Self {
            tickets: Some(keys),
            ..self
        }
    }

    /// The same, with changes, logins and registrations counted for all origins together.
    #[must_use]
    pub fn with_shared_limits(self, limits: Arc<dyn SharedLimits>) -> Self {
        Self {
            shared_limits: Some(limits),
            ..self
        }
    }
}
