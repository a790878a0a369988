//! The `realtime` section.

use http::{HeaderValue, Uri};
use pitchey_model::ticket::{ShortKey, TicketKeys};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{Rules, redact};

/// The realtime server beside this origin. What happens is told to it through the Redis of `cache`, or by
/// HTTP.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RealtimeConfig {
    /// The secret that signs tickets: at least 32 bytes, the same on every hub. Without it no tickets are
    /// given out.
    #[serde(serialize_with = "redact::whole")]
    pub ticket_key: SecretString,
    /// The edge on Workers that has the rooms, or a hub that is alone: scheme, host and port. Empty: nobody is
    /// told by HTTP.
    pub publish_url: String,
    /// What it takes publications with: at least 32 bytes.
    #[serde(serialize_with = "redact::whole")]
    pub publish_key: SecretString,
}

/// The shortest secret that publications are taken with, in bytes.
const MIN_SECRET: usize = 32;

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
        let mut rules = Rules::of("realtime", problems);
        if self.publish_url.is_empty() {
            return;
        }
        let uri = self.publish_url.parse::<Uri>().ok();
        let is_origin = |uri: &Uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
                && uri.path() == "/"
                && uri.query().is_none()
        };
        if !uri.as_ref().is_some_and(is_origin) {
            let how = "is no http:// or https:// address of a host";
            rules.broken("publish_url", how);
        }
        let secret = self.publish_key.expose_secret();
        if secret.len() < MIN_SECRET || HeaderValue::try_from(secret).is_err() {
            rules.broken("publish_key", "is no line of 32 or more bytes");
        }
    }
}
