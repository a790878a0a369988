//! The `realtime` section.

use pitchey_model::ticket::{ShortKey, TicketKeys};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{Rules, redact};

/// The realtime server beside this origin. What happens is told to it through the Redis of `cache`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RealtimeConfig {
    /// The secret that signs tickets: at least 32 bytes, the same on every hub. Without it no tickets are
    /// given out.
    #[serde(serialize_with = "redact::whole")]
    pub ticket_key: SecretString,
}

impl RealtimeConfig {
    /// The keys of tickets, if any are given out.
    pub fn keys(&self) -> Result<Option<TicketKeys>, ShortKey> {
        let key = self.ticket_key.expose_secret().as_bytes();
        if key.is_empty() {
            return Ok(None);
        }
        TicketKeys::new(key, None).map(Some)
    }

    pub(super) fn validate(&self, problems: &mut Vec<String>) {
        if let Err(short) = self.keys() {
            Rules::of("realtime", problems).broken("ticket_key", &short);
        }
    }
}
