//! Where a server is, as operators write it.

use http::Uri;
use http::uri::Authority;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// `http://host:port`. Hubs and their admin interface are spoken to inside of the network, without TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address(Authority);

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "must be http://, a host and a port, and nothing else";
        let parts = text.parse::<Uri>().map_err(|_| SHAPE)?.into_parts();
        let is_http = parts.scheme.is_some_and(|scheme| scheme.as_str() == "http");
        let is_bare = parts.path_and_query.is_none_or(|path| path == "/");
        let authority = parts.authority.ok_or(SHAPE)?;
        // A password in an address would end up in lists of processes and in logs.
        let is_plain = authority.port_u16().is_some() && !authority.as_str().contains('@');
        if is_http && is_bare && is_plain && !authority.host().is_empty() {
            Ok(Self(authority))
        } else {
            Err(SHAPE)
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

impl Address {
    /// Host and port.
    pub(crate) fn authority(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it is on this machine, whatever names are resolved to.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.0.host();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        address
            .parse()
            .map_or(host == "localhost", |address: IpAddr| address.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (text, loopback) in [
            ("http://127.0.0.1:8789", true),
            ("http://localhost:8789/", true),
            ("http://[::1]:8789", true),
            ("http://hub:8789", false),
            ("http://10.0.0.1:80", false),
        ] {
            let address: Address = text.parse().expect("an address");
            assert_eq!(address.is_loopback(), loopback, "{text}");
            assert_eq!(address.to_string(), text.trim_end_matches('/'));
        }
        for wrong in [
            "",
            "127.0.0.1:8789",
            "http://127.0.0.1",
            "https://hub:8789",
            "ws://hub:8789",
            "http://hub:8789/ws",
            "http://hub:8789?x=1",
            "http://ann:secret@hub:8789",
            "http://hub:99999",
        ] {
            wrong.parse::<Address>().expect_err(wrong);
        }
    }
}
