//! The `http` section.

use std::net::SocketAddr;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Rules;
use crate::server::Limits;
use pitchey_process::client_address;

/// The API's listener, what a client may ask of it, and who is believed what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Where the API listens.
    pub address: SocketAddr,
    /// Connections served at once; further ones wait to be accepted.
    pub max_connections: usize,
    /// How long a client may take to send a request's header.
    pub header_timeout_ms: u64,
    /// How long a connection may lie idle between requests. Longer than any client in front keeps
    /// idle connections, or it will write into a closing one.
    pub idle_timeout_ms: u64,
    /// How long a request may take; a client may ask for less.
    pub request_timeout_ms: u64,
    /// The size of a request's header.
    pub max_header_bytes: usize,
    /// The size of a request's body.
    pub max_body_bytes: usize,
    /// How long readiness is refused before the listener closes, for load balancers to notice.
    pub drain_delay_ms: u64,
    /// How long requests in flight may take to finish once the listener is closed.
    pub shutdown_timeout_ms: u64,
    /// The origins (`https://pitchey.example`) whose pages may send changes, beside the host that a
    /// request itself names.
    pub allowed_origins: Vec<String>,
    /// The networks (`10.0.0.0/8`) whose word on the address of a client is believed.
    pub trusted_proxies: Vec<String>,
    /// Whether answers say what they cost the database, in `Server-Timing` and `X-Database-Time`.
    pub database_time: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8788)),
            max_connections: 4096,
            header_timeout_ms: 10_000,
            idle_timeout_ms: 75_000,
            request_timeout_ms: 5_000,
            max_header_bytes: 64 * 1024,
            max_body_bytes: 64 * 1024,
            drain_delay_ms: 0,
            shutdown_timeout_ms: 10_000,
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            database_time: true,
        }
    }
}

impl HttpConfig {
    /// The limits that the server enforces.
    pub fn limits(&self) -> Limits {
        Limits {
            listener: "api",
            max_connections: self.max_connections,
            header_timeout: Duration::from_millis(self.header_timeout_ms),
            idle_timeout: Duration::from_millis(self.idle_timeout_ms),
            max_header_bytes: self.max_header_bytes,
            shutdown_timeout: Duration::from_millis(self.shutdown_timeout_ms),
        }
    }

    /// The longest time a request may take.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// The time between refusing readiness and closing the listener.
    pub fn drain_delay(&self) -> Duration {
        Duration::from_millis(self.drain_delay_ms)
    }

    /// The networks of `trusted_proxies`; what is none has been refused by then.
    pub fn trusted_networks(&self) -> Vec<IpNet> {
        let texts = self.trusted_proxies.iter();
        texts
            .filter_map(|text| client_address::network(text))
            .collect()
    }

    pub(super) fn validate(&self, problems: &mut Vec<String>) {
        const MINUTE_MS: u64 = 60_000;
        let mut rules = Rules::of("http", problems);
        let mut range = |key, value, min, max| rules.range(key, value, min, max);
        range("max_connections", self.max_connections as u64, 1, 1_000_000);
        range("header_timeout_ms", self.header_timeout_ms, 100, MINUTE_MS);
        range(
            "idle_timeout_ms",
            self.idle_timeout_ms,
            1_000,
            60 * MINUTE_MS,
        );
        range("request_timeout_ms", self.request_timeout_ms, 1, MINUTE_MS);
        // Below 8 KiB hyper refuses to read, above 16 MiB it refuses to count.
        range(
            "max_header_bytes",
            self.max_header_bytes as u64,
            8 * 1024,
            1024 * 1024,
        );
        range(
            "max_body_bytes",
            self.max_body_bytes as u64,
            1024,
            64 * 1024 * 1024,
        );
        range("drain_delay_ms", self.drain_delay_ms, 0, 5 * MINUTE_MS);
        range(
            "shutdown_timeout_ms",
            self.shutdown_timeout_ms,
            1,
            5 * MINUTE_MS,
        );
        for origin in &self.allowed_origins {
            if !is_origin(origin) {
                rules.broken(
                    "allowed_origins",
                    &format!("{origin:?} is not an origin as browsers send it, like https://pitchey.example"),
                );
            }
        }
        for network in &self.trusted_proxies {
            if client_address::network(network).is_none() {
                rules.broken(
                    "trusted_proxies",
                    &format!("{network:?} is not a network like 10.0.0.0/8"),
                );
            }
        }
    }
}

/// Whether `text` is an origin in the one form that browsers send (RFC 6454, section 6.2): in lower
/// case, without a path, and without the port that the scheme implies. Any other form would never
/// be equal to one.
fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let implied = match Scheme::try_from(scheme) {
        Ok(scheme) if scheme == Scheme::HTTPS => 443,
        Ok(scheme) if scheme == Scheme::HTTP => 80,
        _ => return false,
    };
    let Ok(authority) = rest.parse::<Authority>() else {
        return false;
    };
    let port = authority.port_u16();
    let plain = match port {
        Some(port) => format!("{}:{port}", authority.host()),
        None => authority.host().to_owned(),
    };
    // Equal to host and port alone: no user, no empty or odd port.
    !authority.host().is_empty()
        && rest == plain
        && port != Some(implied)
        && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_would_send() {
        for origin in [
            "https://pitchey.example",
            "http://localhost:8787",
            "https://[::1]:8443",
            "http://127.0.0.1:3000",
        ] {
            assert!(is_origin(origin), "{origin}");
        }
        for other in [
            "",
            "*",
            "null",
            "pitchey.example",
            "https://",
            "https://pitchey.example/",
            "https://pitchey.example/path",
            "https://pitchey.example?query",
            "https://Pitchey.example",
            "HTTPS://pitchey.example",
            "https://pitchey.example:443",
            "http://pitchey.example:80",
            "https://pitchey.example:",
            "https://pitchey.example:99999",
            "https://ann@pitchey.example",
            "ftp://pitchey.example",
            "https://*.pitchey.example:x",
            "https://pitchey example",
        ] {
            assert!(!is_origin(other), "{other}");
        }
    }
}
