//! What the handlers of the whole API share, beyond what the public reads need.

use crate::ApiState;
use crate::limits::{Limits, Together};
use crate::ports::{Counters, Passwords};
use axum::extract::FromRef;
use hmac::{Hmac, Mac as _};
use pitchey_runtime::{Random, uuid_v7};
use sha2::Sha256;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

/// Where a request came from: the shell that receives it puts this into the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// What an operator can choose.
#[derive(Debug, Clone)]
pub struct SiteSettings {
    /// How long a session lasts that is not used.
    pub session_idle: Duration,
    /// How long a session lasts in any case.
    pub session_absolute: Duration,
    /// The origins (`https://pitchey.example`) that browsers may send changes from, beside the host that
    /// the request itself names.
    pub allowed_origins: Vec<String>,
    /// How often each class of routes may be asked.
    pub limits: LimitSettings,
}

pub use crate::limits::LimitSettings;

/// What the handlers of the whole API share. Cheap to clone.
#[derive(Clone)]
pub struct Site<S> {
    pub(crate) api: ApiState<S>,
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) random: Box<dyn Random + Send + Sync>,
    pub(crate) passwords: Box<dyn Passwords>,
    pub(crate) counters: Box<dyn Counters>,
    pub(crate) limits: Limits,
    pub(crate) settings: SiteSettings,
    /// Signs the tokens that stand in for Fetch Metadata in old browsers.
    pub(crate) csrf_key: Hmac<Sha256>,
    /// Turns viewers into what does not tell who they are.
    pub(crate) viewer_key: Hmac<Sha256>,
}

impl<S> Site<S> {
    /// Puts the parts together. Other secrets are derived from the cursor key of `api`.
    pub fn new(
        api: ApiState<S>,
        random: impl Random + Send + Sync + 'static,
        passwords: impl Passwords + 'static,
        counters: impl Counters + 'static,
        settings: SiteSettings,
    ) -> Self {
        let together = api.shared_limits.clone();
        let together = together.map(|port| Together::new(port, api.cursor_key.derive("limits")));
        let shared = Shared {
            random: Box::new(random),
            passwords: Box::new(passwords),
            counters: Box::new(counters),
            limits: Limits::new(&settings.limits, together),
            csrf_key: api.cursor_key.derive("csrf"),
            viewer_key: api.cursor_key.derive("viewer"),
            settings,
        };
        Self {
            api,
            shared: Arc::new(shared),
        }
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        // The database keeps microseconds: what is answered is what will be read.
        let now = self.api.clock.wall();
        now.replace_nanosecond(now.nanosecond() / 1000 * 1000)
            .unwrap_or(now)
    }

    pub(crate) fn new_id(&self) -> Uuid {
        uuid_v7(&self.api.clock, &*self.shared.random)
    }

    /// Who looks, without saying who: the same for a day's worth of questions and for ever unreadable.
    pub(crate) fn viewer(&self, who: &[u8]) -> [u8; 16] {
        let hash = self.shared.viewer_key.clone().chain_update(who).finalize();
        let hash = hash.into_bytes();
        std::array::from_fn(|i| hash[i])
    }
}

impl<S: Clone> FromRef<Site<S>> for ApiState<S> {
    fn from_ref(site: &Site<S>) -> Self {
        site.api.clone()
    }
}
