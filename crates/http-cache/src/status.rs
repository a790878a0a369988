//! `Cache-Status`: what this cache did, for whoever debugs the way of a response (RFC 9211).

use std::fmt::{self, Write};

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::fields::{add, is_token};

/// The field's name.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Why a request went on towards the origin (RFC 9211, 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The cache was told not to take part.
    Bypass,
    /// The method asks for more than a cache can give.
    Method,
    /// Nothing is stored for this URI.
    UriMiss,
    /// What is stored for this URI was selected by other request fields.
    VaryMiss,
    /// Nothing fitting is stored, for one of the two reasons above.
    Miss,
    /// The request itself asks for something fresher than what is stored.
    Request,
    /// What is stored is stale, or must be validated.
    Stale,
    /// What is stored is not all of what is asked for.
    Partial,
}

impl Reason {
    fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// Whether the cache answered by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// From what is stored.
    Hit,
    /// By going on towards the origin.
    Forward {
        /// Why.
        reason: Reason,
        /// What came back, if anything did.
        status: Option<StatusCode>,
        /// Whether the response was stored.
        stored: bool,
        /// Whether several requests shared the one that went on. The caller knows.
        collapsed: bool,
    },
    /// By a response of its own that is based on nothing stored: 504. The field is for others than
    /// these, so nothing is said (RFC 9211, 2).
    Generated,
}

/// One member of the field, but for the cache's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheStatus {
    /// What was done.
    pub handling: Handling,
    /// For how much longer the response is fresh, in seconds; negative if it is stale.
    pub ttl: Option<i64>,
    /// The key it is stored by, if one wants it to be seen. What is no ASCII text is left out.
    pub key: Option<String>,
    /// Anything else that one wants to say.
    pub detail: Option<String>,
}

impl CacheStatus {
    pub(crate) fn hit(ttl: i64) -> Self {
        Self {
            handling: Handling::Hit,
            ttl: Some(ttl),
            key: None,
            detail: None,
        }
    }

    pub(crate) fn forward(reason: Reason, status: Option<StatusCode>) -> Self {
        let handling = Handling::Forward {
            reason,
            status,
            stored: false,
            collapsed: false,
        };
        Self {
            handling,
            ttl: None,
            key: None,
            detail: None,
        }
    }

    pub(crate) fn generated() -> Self {
        Self {
            handling: Handling::Generated,
            ttl: None,
            key: None,
            detail: None,
        }
    }

    /// Adds the member behind those of the caches nearer to the origin. A cache without a name says
    /// nothing, nor does one that answered out of nothing.
    pub fn append_to(&self, cache: &str, headers: &mut HeaderMap) {
        if self.handling == Handling::Generated {
            return;
        }
        let member = Member {
            cache,
            status: self,
        }
        .to_string();
        if let (true, Ok(value)) = (is_text(cache), HeaderValue::from_str(&member)) {
            add(headers, CACHE_STATUS, value);
        }
    }
}

struct Member<'a> {
    cache: &'a str,
    status: &'a CacheStatus,
}

impl fmt::Display for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_word(f, self.cache)?;
        match self.status.handling {
            Handling::Hit => f.write_str("; hit")?,
            Handling::Generated => {}
            Handling::Forward {
                reason,
                status,
                stored,
                collapsed,
            } => {
                write!(f, "; fwd={}", reason.token())?;
                if let Some(status) = status {
                    write!(f, "; fwd-status={}", status.as_u16())?;
                }
                if stored {
                    f.write_str("; stored")?;
                }
                if collapsed {
                    f.write_str("; collapsed")?;
                }
            }
        }
        if let Some(ttl) = self.status.ttl {
            write!(f, "; ttl={ttl}")?;
        }
        if let Some(key) = self.status.key.as_deref().filter(|key| is_text(key)) {
            f.write_str("; key=")?;
            write_string(f, key)?;
        }
        if let Some(detail) = self
            .status
            .detail
            .as_deref()
            .filter(|detail| is_text(detail))
        {
            f.write_str("; detail=")?;
            write_word(f, detail)?;
        }
        Ok(())
    }
}

fn is_text(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// As a token if it is one, else as a string.
fn write_word(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let starts = text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '*');
    if starts && is_token(text.as_bytes()) {
        f.write_str(text)
    } else {
        write_string(f, text)
    }
}

fn write_string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(letter)?;
    }
    f.write_char('"')
}
