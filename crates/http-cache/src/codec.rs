//! Stored responses as bytes.
//!
//! One byte of version, then numbers of variable length (seven bits a byte, the lowest first) and
//! strings with their length before them. A field's name that is common is one byte. What was written
//! by another version is refused, never guessed at: the response is then fetched again.

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

use crate::options::Options;
use crate::policy::{Policy, Times};
use crate::range::{Content, MAX_SPANS, Span};
use crate::stored::{MAX_SELECTIONS, Stored};
use crate::time::Timestamp;
use crate::vary::{MAX_FIELDS, Selection};

const VERSION: u8 = 1;
/// The most lines of fields that are read of one response.
const MAX_LINES: u64 = 4096;

/// Names that have a number, from one on. New ones are added at the end; a change of the others would
/// need a new version.
const COMMON: [&str; 32] = [
    "age",
    "cache-control",
    "cdn-cache-control",
    "content-encoding",
    "content-language",
    "content-location",
    "content-type",
    "date",
    "etag",
    "expires",
    "last-modified",
    "link",
    "location",
    "server",
    "set-cookie",
    "vary",
    "via",
    "strict-transport-security",
    "content-security-policy",
    "x-content-type-options",
    "x-frame-options",
    "referrer-policy",
    "access-control-allow-origin",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-expose-headers",
    "accept-ranges",
    "alt-svc",
    "server-timing",
    "x-request-id",
    "accept-encoding",
    "cache-status",
];

/// Why bytes are no stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// They were written by another version.
    #[error("stored response of unknown version {0}")]
    Version(u8),
    /// They end too early, go on too long, or hold what cannot be.
    #[error("malformed stored response")]
    Malformed,
}

impl Stored {
    /// Writes it as bytes, for a store outside of the process. The options do not become part of it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        number(&mut out, self.locator);
        number(&mut out, u64::from(self.status.as_u16()));
        number(&mut out, zigzag(self.times.request));
        number(&mut out, zigzag(self.times.response));
        out.push(u8::from(self.authorized) | (u8::from(self.invalid) << 1));
        match &self.content {
            Content::Whole { length } => {
                out.push(0);
                optional(&mut out, *length);
            }
            Content::Part { spans, length } => {
                out.push(1);
                optional(&mut out, *length);
                number(&mut out, size(spans.len()));
                for span in spans {
                    number(&mut out, span.start);
                    number(&mut out, span.length());
                }
            }
        }
        number(&mut out, size(self.selections.len()));
        for selection in &self.selections {
            number(&mut out, size(selection.fields.len()));
            for (field, value) in &selection.fields {
                name(&mut out, field);
                match value {
                    Some(value) => {
                        out.push(1);
                        string(&mut out, value);
                    }
                    None => out.push(0),
                }
            }
        }
        number(&mut out, size(self.headers.len()));
        for (field, value) in &self.headers {
            name(&mut out, field);
            string(&mut out, value.as_bytes());
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8], options: &Options) -> Result<Self, DecodeError> {
        let (version, rest) = bytes.split_first().ok_or(DecodeError::Malformed)?;
        if *version != VERSION {
            return Err(DecodeError::Version(*version));
        }
        let mut input = Input { rest };
        input
            .stored(options)
            .filter(|_| input.rest.is_empty())
            .ok_or(DecodeError::Malformed)
    }
}

/// Writes all stored responses of a key as one value.
pub(crate) fn encode_variants(variants: &[Stored]) -> Vec<u8> {
    let mut out = vec![VERSION];
    number(&mut out, size(variants.len()));
    for stored in variants {
        string(&mut out, &stored.encode());
    }
    out
}

/// Reads what [`encode_variants`] wrote.
pub(crate) fn decode_variants(bytes: &[u8], options: &Options) -> Result<Vec<Stored>, DecodeError> {
    let (version, rest) = bytes.split_first().ok_or(DecodeError::Malformed)?;
    if *version != VERSION {
        return Err(DecodeError::Version(*version));
    }
    let mut input = Input { rest };
    let count = input.number().ok_or(DecodeError::Malformed)?;
    let mut variants = Vec::new();
    for _ in 0..count {
        let one = input.string().ok_or(DecodeError::Malformed)?;
        variants.push(Stored::decode(one, options)?);
    }
    if input.rest.is_empty() {
        Ok(variants)
    } else {
        Err(DecodeError::Malformed)
    }
}

fn size(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}

fn optional(out: &mut Vec<u8>, value: Option<u64>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        number(out, value);
    }
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    number(out, size(text.len()));
    out.extend_from_slice(text);
}

fn name(out: &mut Vec<u8>, field: &HeaderName) {
    let common = COMMON.iter().position(|known| *known == field.as_str());
    if let Some(place) = common.and_then(|place| u8::try_from(place + 1).ok()) {
        out.push(place);
    } else {
        out.push(0);
        string(out, field.as_str().as_bytes());
    }
}

/// Small numbers for times near to 1970 on either side.
fn zigzag(time: Timestamp) -> u64 {
    let seconds = time.as_unix();
    let folded = (seconds << 1) ^ (seconds >> 63);
    u64::from_le_bytes(folded.to_le_bytes())
}

struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn stored(&mut self, options: &Options) -> Option<Stored> {
        let locator = self.number()?;
        let status = StatusCode::from_u16(u16::try_from(self.number()?).ok()?).ok()?;
        let times = Times {
            request: self.time()?,
            response: self.time()?,
        };
        let flags = self.byte()?;
        let content = self.content()?;
        let selections = self.selections()?;
        let lines = self.number()?;
        if flags > 3 || lines > MAX_LINES {
            return None;
        }
        let mut headers = HeaderMap::new();
        for _ in 0..lines {
            let field = self.name()?;
            let value = HeaderValue::from_bytes(self.string()?).ok()?;
            headers.try_append(field, value).ok()?;
        }
        let policy = Policy::of(status, &headers, times, options);
        Some(Stored {
            locator,
            status,
            headers,
            times,
            content,
            selections,
            authorized: flags & 1 != 0,
            invalid: flags & 2 != 0,
            policy,
        })
    }

    fn content(&mut self) -> Option<Content> {
        let kind = self.byte()?;
        let length = match self.byte()? {
            0 => None,
            1 => Some(self.number()?),
            _ => return None,
        };
        match kind {
            0 => Some(Content::Whole { length }),
            1 => {
                let count = usize::try_from(self.number()?).ok()?;
                if count == 0 || count > MAX_SPANS {
                    return None;
                }
                let mut spans: Vec<Span> = Vec::with_capacity(count);
                for _ in 0..count {
                    let start = self.number()?;
                    let end = start.checked_add(self.number()?)?;
                    let apart = spans.last().is_none_or(|last| last.end < start);
                    if !apart || start >= end || length.is_some_and(|length| length < end) {
                        return None;
                    }
                    spans.push(Span { start, end });
                }
                Some(Content::Part { spans, length })
            }
            _ => None,
        }
    }

    fn selections(&mut self) -> Option<Vec<Selection>> {
        let count = usize::try_from(self.number()?).ok()?;
        if count > MAX_SELECTIONS {
            return None;
        }
        let mut selections = Vec::with_capacity(count);
        for _ in 0..count {
            let count = usize::try_from(self.number()?).ok()?;
            if count > MAX_FIELDS {
                return None;
            }
            let mut fields = Vec::with_capacity(count);
            for _ in 0..count {
                let field = self.name()?;
                let value = match self.byte()? {
                    0 => None,
                    1 => Some(self.string()?.to_vec()),
                    _ => return None,
                };
                fields.push((field, value));
            }
            selections.push(Selection { fields });
        }
        Some(selections)
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(text)
    }

    fn name(&mut self) -> Option<HeaderName> {
        match self.byte()? {
            0 => HeaderName::from_bytes(self.string()?).ok(),
            place => COMMON
                .get(usize::from(place) - 1)
                .map(|name| HeaderName::from_static(name)),
        }
    }

    fn time(&mut self) -> Option<Timestamp> {
        let folded = self.number()?;
        let half = i64::try_from(folded >> 1).ok()?;
        Some(Timestamp::from_unix(if folded & 1 == 0 {
            half
        } else {
            -half - 1
        }))
    }
}
