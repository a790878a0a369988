//! Entity tags, and dates of modification as validators (RFC 9110, 8.8).

use http::header::{ETAG, HeaderMap, HeaderValue, LAST_MODIFIED};

use crate::fields::only;
use crate::time::Timestamp;

/// An entity tag, borrowed from the field it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntityTag<'a> {
    pub(crate) weak: bool,
    /// What stands between the quotes.
    opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// Reads a field value that is one entity tag and nothing else.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let (tag, rest) = Self::take(text.trim_ascii())?;
        rest.is_empty().then_some(tag)
    }

    /// Reads the entity tag that the text starts with; a backslash in it is a character like others.
    fn take(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, quoted) = match text.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        let end = inner.iter().position(|byte| *byte == b'"')?;
        let (opaque, rest) = inner.split_at(end);
        let valid = opaque.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
        valid.then(|| (Self { weak, opaque }, &rest[1..]))
    }

    pub(crate) fn weak_eq(self, other: EntityTag<'_>) -> bool {
        self.opaque == other.opaque
    }

    pub(crate) fn strong_eq(self, other: EntityTag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }
}

/// What the field `If-None-Match` lists, of all its lines.
pub(crate) enum TagList<'a> {
    Any,
    Tags(Vec<EntityTag<'a>>),
}

impl<'a> TagList<'a> {
    /// Reads until the first thing that is no entity tag: what stands before it still counts, since a
    /// match spares the transfer of what the client does have.
    pub(crate) fn parse(lines: impl Iterator<Item = &'a HeaderValue>) -> Self {
        let mut tags = Vec::new();
        for line in lines {
            let mut rest = line.as_bytes().trim_ascii();
            if rest == b"*" {
                return Self::Any;
            }
            while !rest.is_empty() {
                if rest[0] == b',' {
                    rest = rest[1..].trim_ascii_start();
                    continue;
                }
                let Some((tag, after)) = EntityTag::take(rest) else {
                    break;
                };
                tags.push(tag);
                rest = after.trim_ascii_start();
                if !rest.is_empty() && rest[0] != b',' {
                    break;
                }
            }
        }
        Self::Tags(tags)
    }

    pub(crate) fn matches_weakly(&self, tag: Option<EntityTag<'_>>) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => {
                tag.is_some_and(|tag| tags.iter().any(|listed| listed.weak_eq(tag)))
            }
        }
    }
}

/// The entity tag of a response, if it has one that is well-formed.
pub(crate) fn entity_tag(headers: &HeaderMap) -> Option<EntityTag<'_>> {
    EntityTag::parse(only(headers, &ETAG)?.as_bytes())
}

/// The date of modification of a response, if it has one.
pub(crate) fn last_modified(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    Timestamp::parse(only(headers, &LAST_MODIFIED)?.as_bytes(), now)
}

/// Whether two responses have the same strong validator and so, byte for byte, the same
/// representation (RFC 9110, 8.8.1). Dates of modification are weak unless both responses were made
/// a second or more after them.
pub(crate) fn same_strongly(one: (&HeaderMap, Timestamp), other: (&HeaderMap, Timestamp)) -> bool {
    match (entity_tag(one.0), entity_tag(other.0)) {
        (Some(left), Some(right)) => left.strong_eq(right),
        (None, None) => {
            let left = last_modified(one.0, one.1).filter(|time| one.1.since(*time) >= 1);
            let right = last_modified(other.0, other.1).filter(|time| other.1.since(*time) >= 1);
            left.is_some() && left == right
        }
        _ => false,
    }
}

/// Whether a response has a validator that is strong; `date` is when it was made.
pub(crate) fn has_strong_validator(headers: &HeaderMap, date: Timestamp) -> bool {
    same_strongly((headers, date), (headers, date))
}
