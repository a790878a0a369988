//! The key of a response, and which other keys an unsafe request makes invalid (RFC 9111, 2 and 4.4).

use std::fmt;

use http::Uri;
use http::header::{CONTENT_LOCATION, HeaderMap, LOCATION};

use crate::fields::only;

/// What responses are stored by: the target URI, in one spelling. All of them are responses to `GET`,
/// which answer `HEAD` as well.
///
/// Scheme and host are in lower case, the port is left out where it is the scheme's own, and an empty
/// path is `/`. The path's case and escapes are left alone: whether they mean the same is the origin's
/// secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The key of a target URI, which should be absolute.
    pub fn of(uri: &Uri) -> Self {
        let path = uri
            .path_and_query()
            .map_or("/", http::uri::PathAndQuery::as_str);
        let slash = if path.starts_with('/') { "" } else { "/" };
        Self(format!("{}{slash}{path}", origin(uri)))
    }

    /// The text of the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Scheme, host and port, of which two URIs must have the same to be of one origin.
fn origin(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default().to_ascii_lowercase();
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    let default = match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    match uri.port_u16().filter(|port| Some(*port) != default) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    }
}

/// The keys that a response to an unsafe request makes invalid: its target, and what `Location` and
/// `Content-Location` point to if it is of the same origin. Anything else would let one site empty
/// another's entries.
pub(crate) fn invalidated(target: &Uri, response: &HeaderMap) -> Vec<Key> {
    let mut keys = vec![Key::of(target)];
    for name in [LOCATION, CONTENT_LOCATION] {
        let found = only(response, &name)
            .and_then(|value| value.to_str().ok())
            .and_then(|reference| resolve(target, reference))
            .filter(|uri| origin(uri) == origin(target))
            .map(|uri| Key::of(&uri));
        if let Some(key) = found.filter(|key| !keys.contains(key)) {
            keys.push(key);
        }
    }
    keys
}

/// Resolves a reference against an absolute URI (RFC 3986, 5.2).
fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next()?.trim_matches([' ', '\t']);
    let (scheme, authority) = (base.scheme_str()?, base.authority()?.as_str());
    let with_scheme = reference
        .split_once(':')
        .is_some_and(|(scheme, _)| !scheme.is_empty() && !scheme.contains(['/', '?']));
    if with_scheme {
        return reference.parse().ok();
    }
    if let Some(rest) = reference.strip_prefix("//") {
        return format!("{scheme}://{rest}").parse().ok();
    }
    let query_start = reference.find('?').unwrap_or(reference.len());
    let (path, query) = reference.split_at(query_start);
    let path = if path.is_empty() {
        base.path().to_owned()
    } else if path.starts_with('/') {
        without_dots(path)
    } else {
        let folder = base
            .path()
            .rfind('/')
            .map_or("/", |end| &base.path()[..=end]);
        without_dots(&format!("{folder}{path}"))
    };
    let own_query = base.query().filter(|_| reference.is_empty());
    match own_query {
        Some(own) => format!("{scheme}://{authority}{path}?{own}").parse().ok(),
        None => format!("{scheme}://{authority}{path}{query}").parse().ok(),
    }
}

/// Takes `.` and `..` out of a path that starts with a slash.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}
