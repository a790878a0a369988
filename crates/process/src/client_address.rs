//! Whose request it is: the address of the peer, or the one that trusted proxies say was theirs.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the client behind `peer`.
///
/// A proxy appends to `X-Forwarded-For` the address that it was asked from, so the list is true from
/// the right as far as the proxies are `trusted`: the first address from the right that is not one of
/// theirs is the client. What stands further left is the client's own word, and so is the whole list
/// if the peer itself is not trusted. An entry that is no address ends the walk, too.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    // Several fields are one list, in the order in which they came.
    let mut entries = headers
        .get_all(&X_FORWARDED_FOR)
        .into_iter()
        .rev()
        .flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    while is_trusted(&client) {
        match entries.next().and_then(address) {
            Some(before) => client = before,
            None => break,
        }
    }
    client
}

/// An address, with a port or without.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry.trim_ascii()).ok()?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let address: IpAddr = text.parse().ok().or_else(bracketed).or_else(with_port)?;
    Some(address.to_canonical())
}

/// A network in CIDR notation; an address alone is the network of this one address.
pub fn network(text: &str) -> Option<IpNet> {
    let alone = || text.parse().ok().map(|address: IpAddr| address.into());
    text.parse().ok().or_else(alone)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            // What is no header value never gets here.
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(X_FORWARDED_FOR.clone(), value);
            }
        }
        headers
    }

    fn client(peer: &str, values: &[&str]) -> String {
        let trusted =
            ["10.0.0.0/8", "127.0.0.1", "fd00::/8"].map(|text| network(text).expect(text));
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        let peer = peer.parse().expect("an address");
        client_address(peer, &headers(&values), &trusted).to_string()
    }

    #[test]
    fn the_word_of_a_peer_that_is_not_trusted_counts_for_nothing() {
        assert_eq!(client("192.0.2.1", &[]), "192.0.2.1");
        assert_eq!(client("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(
            client("192.0.2.1", &["198.51.100.7, 10.0.0.1"]),
            "192.0.2.1"
        );
        assert_eq!(client("127.0.0.2", &["198.51.100.7"]), "127.0.0.2");
    }

    #[test]
    fn the_last_address_that_is_not_of_a_proxy_is_the_client() {
        for (values, expected) in [
            (&["198.51.100.7"][..], "198.51.100.7"),
            (&["198.51.100.7, 10.0.0.9"], "198.51.100.7"),
            (&["203.0.113.1, 198.51.100.7,10.0.0.9"], "198.51.100.7"),
            (&["203.0.113.1", "198.51.100.7", "10.0.0.9"], "198.51.100.7"),
            (&["203.0.113.1, 198.51.100.7", "fd00::1"], "198.51.100.7"),
            (&["2001:db8::1"], "2001:db8::1"),
        ] {
            assert_eq!(client("10.0.0.1", values), expected, "{values:?}");
        }
    }

    #[test]
    fn without_a_client_the_farthest_proxy_stands_for_it() {
        for (values, expected) in [
            (&[][..], "10.0.0.1"),
            (&[""], "10.0.0.1"),
            (&["10.0.0.2"], "10.0.0.2"),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.2"),
            (&["198.51.100.7, "], "10.0.0.1"),
            (&["198.51.100.7;10.0.0.2"], "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", values), expected, "{values:?}");
        }
    }

    #[test]
    fn an_entry_may_have_a_port() {
        for (entry, expected) in [
            ("198.51.100.7:1234", "198.51.100.7"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
        ] {
            assert_eq!(client("10.0.0.1", &[entry]), expected);
        }
    }

    #[test]
    fn an_ipv4_address_in_ipv6_is_that_of_ipv4() {
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("::ffff:192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &["::ffff:198.51.100.7"]), "198.51.100.7");
        assert_eq!(
            client("10.0.0.1", &["198.51.100.7, ::ffff:10.0.0.2"]),
            "198.51.100.7"
        );
    }

    fn any_address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u8; 16]>().prop_map(IpAddr::from),
            // Of the proxies.
            any::<[u8; 3]>().prop_map(|[a, b, c]| IpAddr::from([10, a, b, c])),
        ]
    }

    /// A list as an honest or a lying client would send it.
    fn any_list() -> impl Strategy<Value = Vec<u8>> {
        let entry = prop_oneof![
            any_address().prop_map(|address| address.to_string().into_bytes()),
            proptest::collection::vec(any::<u8>(), 0..20),
            "[0-9a-f:.\\[\\], ]{0,40}".prop_map(String::into_bytes),
        ];
        proptest::collection::vec(entry, 0..6).prop_map(|entries| entries.join(&b", "[..]))
    }

    fn proxies() -> Vec<IpNet> {
        vec![network("10.0.0.0/8").expect("a network")]
    }

    proptest! {
        #[test]
        fn no_header_chooses_the_address_of_a_peer_that_is_not_trusted(
            peer in any_address(),
            lists in proptest::collection::vec(any_list(), 0..4),
        ) {
            let lists: Vec<&[u8]> = lists.iter().map(Vec::as_slice).collect();
            let headers = headers(&lists);
            prop_assert_eq!(client_address(peer, &headers, &[]), peer.to_canonical());
            if !proxies()[0].contains(&peer.to_canonical()) {
                prop_assert_eq!(client_address(peer, &headers, &proxies()), peer.to_canonical());
            }
        }

        #[test]
        fn what_a_client_says_before_its_proxies_append_changes_nothing(
            lie in any_list(),
            client in any_address(),
            hops in proptest::collection::vec(any::<[u8; 3]>(), 0..4),
            one_field in any::<bool>(),
        ) {
            prop_assume!(!proxies()[0].contains(&client.to_canonical()));
            let hops: Vec<IpAddr> = hops.iter().map(|[a, b, c]| IpAddr::from([10, *a, *b, *c])).collect();
            let truth: Vec<String> = std::iter::once(client).chain(hops).map(|hop| hop.to_string()).collect();
            let truth = truth.join(", ");
            let headers = if one_field {
                headers(&[&[&lie, &b", "[..], truth.as_bytes()].concat()])
            } else {
                headers(&[&lie, truth.as_bytes()])
            };
            prop_assume!(headers.iter().last().is_some());
            let peer = IpAddr::from([10, 0, 0, 1]);
            prop_assert_eq!(client_address(peer, &headers, &proxies()), client.to_canonical());
        }
    }
}
