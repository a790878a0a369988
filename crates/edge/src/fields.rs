//! Fields of requests: what nobody may steer a cache by, and what the origin is told of the client.

use std::net::IpAddr;

use http::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    VIA,
};
use http::{Uri, Version};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Who asks, as the shell that received the request knows.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The address at the other end of the connection.
    pub address: Option<IpAddr>,
    /// Whether what it says about those behind it is believed.
    pub trusted: bool,
    /// Whether nobody on the way here could read along.
    pub secure: bool,
}

/// Whether a field of a request is none that a cached response may depend on, though origins read it: what
/// it says is not part of any key.
pub fn unkeyed(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-forwarded-")
        || name.starts_with("pitchey-edge-")
        || matches!(
            name,
            "forwarded"
                | "x-original-url"
                | "x-original-host"
                | "x-rewrite-url"
                | "x-host"
                | "x-http-method-override"
                | "x-method-override"
                | "x-http-host-override"
                | "x-real-ip"
        )
}

/// Takes out of a request what must not steer anything; gives back the chain of addresses that it came with.
pub(crate) fn strip(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let is_there = headers.keys().any(unkeyed);
    if !is_there {
        return None;
    }
    let mut chain = headers.get_all(X_FORWARDED_FOR).iter();
    let first = chain.next().cloned();
    // More than one line is one list.
    let chain = chain.fold(first, |list, line| {
        let joined = [list.as_ref()?.as_bytes(), line.as_bytes()].join(&b", "[..]);
        HeaderValue::from_bytes(&joined).ok()
    });
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| unkeyed(name))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
    chain
}

/// What the origin is told of a request's way.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    pub(crate) client: Client,
    /// The chain of addresses that it came with.
    pub(crate) chain: Option<HeaderValue>,
    pub(crate) version: Version,
}

impl Introduction {
    /// Tells the origin who asks, and that it came through here.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let chain = self.chain.as_ref().filter(|_| self.client.trusted);
        let address = self.client.address.map(|address| address.to_string());
        let told = match (chain, address) {
            (Some(chain), Some(address)) => {
                let list = [chain.as_bytes(), address.as_bytes()].join(&b", "[..]);
                HeaderValue::from_bytes(&list).ok()
            }
            (Some(chain), None) => Some(chain.clone()),
            (None, address) => address.and_then(|address| HeaderValue::try_from(address).ok()),
        };
        if let Some(told) = told {
            headers.insert(X_FORWARDED_FOR, told);
        }
        let scheme = if self.client.secure { "https" } else { "http" };
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
        let via = HeaderValue::from_static(match self.version {
            Version::HTTP_2 => "2 pitchey-edge",
            Version::HTTP_10 => "1.0 pitchey-edge",
            _ => "1.1 pitchey-edge",
        });
        headers.append(VIA, via);
    }
}

/// Takes out of a response what is about the connection that it came on (RFC 9110, 7.6.1).
pub(crate) fn end_to_end(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let known = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    for name in known.iter().chain(&named) {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection"] {
        headers.remove(name);
    }
}

/// Takes out of a response what the origin says to an edge alone.
pub(crate) fn strip_own(headers: &mut HeaderMap) {
    let is_own = |name: &&HeaderName| name.as_str().starts_with("pitchey-edge-");
    let names: Vec<HeaderName> = headers.keys().filter(is_own).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Names the origin as the host, as its own address does.
pub(crate) fn address_to(origin: &Uri, headers: &mut HeaderMap) {
    let host = origin.authority().map(http::uri::Authority::as_str);
    if let Some(host) = host.and_then(|host| HeaderValue::from_str(host).ok()) {
        headers.insert(HOST, host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(trusted: bool, lines: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static(line));
        }
        headers.insert("x-original-url", HeaderValue::from_static("/admin"));
        let chain = strip(&mut headers);
        assert!(headers.is_empty());
        let address = Some(IpAddr::from([192, 0, 2, 1]));
        let client = Client {
            address,
            trusted,
            secure: false,
        };
        let version = Version::HTTP_11;
        Introduction {
            client,
            chain,
            version,
        }
        .tell(&mut headers);
        assert_eq!(headers[VIA], "1.1 pitchey-edge");
        headers[X_FORWARDED_FOR].to_str().expect("text").to_owned()
    }

    #[test]
    fn what_is_of_the_connection_or_between_origin_and_edge_goes_no_further() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "x-hop, close"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("pitchey-edge-tags", "a"),
            ("etag", "\"1\""),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        end_to_end(&mut headers);
        strip_own(&mut headers);
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn what_a_hop_says_of_those_behind_it_is_passed_on_if_it_is_trusted() {
        assert_eq!(told(false, &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(told(true, &["198.51.100.7"]), "198.51.100.7, 192.0.2.1");
        assert_eq!(
            told(true, &["203.0.113.1", "198.51.100.7"]),
            "203.0.113.1, 198.51.100.7, 192.0.2.1"
        );
        assert_eq!(told(true, &[]), "192.0.2.1");
    }
}
