//! Byte ranges: what is asked for, what of it is there, and how it is put together (RFC 9110, 14).

use bytes::{Bytes, BytesMut};
use http::HeaderValue;

use crate::fields::{members, number};

/// More pieces than this of one representation are not kept apart.
pub const MAX_SPANS: usize = 16;
/// What a part of a multipart response costs beside its bytes: ranges nearer to each other than this
/// are sent as one.
const OVERHEAD: u64 = 80;

/// A run of bytes of a representation: from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first byte's place, from nought.
    pub start: u64,
    /// The place behind the last byte.
    pub end: u64,
}

impl Span {
    /// How many bytes it has.
    pub fn length(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    fn holds(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

/// Which bytes of a representation are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// All. The length is unknown as long as the body has not come to its end, unless the response
    /// declared it.
    Whole {
        /// In bytes.
        length: Option<u64>,
    },
    /// These spans, in order and apart from each other; the stored bytes are those of the spans one
    /// after the other.
    Part {
        /// What is there.
        spans: Vec<Span>,
        /// The length of the whole representation in bytes, if it is known.
        length: Option<u64>,
    },
}

impl Content {
    /// The length of the whole representation in bytes, if it is known.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Whole { length } | Self::Part { length, .. } => *length,
        }
    }

    /// Whether all of it is stored.
    pub fn is_whole(&self) -> bool {
        matches!(self, Self::Whole { .. })
    }

    /// Where in the stored bytes a span begins, if all of it is stored.
    pub fn locate(&self, span: Span) -> Option<u64> {
        match self {
            Self::Whole { length } => length
                .is_none_or(|length| span.end <= length)
                .then_some(span.start),
            Self::Part { spans, .. } => {
                let mut before = 0_u64;
                for stored in spans {
                    if stored.holds(span) {
                        return Some(before + (span.start - stored.start));
                    }
                    before = before.saturating_add(stored.length());
                }
                None
            }
        }
    }

    /// What is stored after one more span of the same representation. `None` if the two do not
    /// belong together or leave too many pieces.
    pub fn with(&self, span: Span, length: Option<u64>) -> Option<Self> {
        let known = self.length();
        if span.start >= span.end || (known.is_some() && length.is_some() && known != length) {
            return None;
        }
        let length = known.or(length);
        let Self::Part { spans, .. } = self else {
            return length
                .is_none_or(|length| span.end <= length)
                .then(|| self.clone());
        };
        let mut all = spans.clone();
        all.push(span);
        all.sort_unstable_by_key(|span| span.start);
        let mut merged: Vec<Span> = Vec::with_capacity(all.len());
        for next in all {
            match merged.last_mut() {
                Some(last) if next.start <= last.end => last.end = last.end.max(next.end),
                _ => merged.push(next),
            }
        }
        let end = merged.last().map_or(0, |span| span.end);
        if merged.len() > MAX_SPANS || length.is_some_and(|length| length < end) {
            return None;
        }
        match (merged.as_slice(), length) {
            ([Span { start: 0, end }], Some(whole)) if *end == whole => {
                Some(Self::Whole { length })
            }
            _ => Some(Self::Part {
                spans: merged,
                length,
            }),
        }
    }

    /// Puts the bytes of one more span among those that are stored, for callers that keep a body in
    /// one piece. Where both have a byte, the new one counts. Gives back what [`Content::with`] does,
    /// and the bytes that belong to it.
    pub fn splice(
        &self,
        stored: &Bytes,
        span: Span,
        length: Option<u64>,
        new: &Bytes,
    ) -> Option<(Self, Bytes)> {
        if u64::try_from(new.len()).ok()? != span.length() {
            return None;
        }
        let content = self.with(span, length)?;
        let Self::Part { spans: old, .. } = self else {
            return Some((content, stored.clone()));
        };
        let pieces = match &content {
            Self::Part { spans, .. } => spans.clone(),
            Self::Whole { length } => vec![Span {
                start: 0,
                end: (*length)?,
            }],
        };
        let mut bytes = BytesMut::with_capacity(stored.len() + new.len());
        let mut copy = |from: &Content, source: &Bytes, run: Span| -> Option<()> {
            let at = usize::try_from(from.locate(run)?).ok()?;
            let count = usize::try_from(run.length()).ok()?;
            bytes.extend_from_slice(source.get(at..at.checked_add(count)?)?);
            Some(())
        };
        let added = Self::Part {
            spans: vec![span],
            length: None,
        };
        for piece in pieces {
            let mut at = piece.start;
            while at < piece.end {
                if span.start <= at && at < span.end {
                    copy(
                        &added,
                        new,
                        Span {
                            start: at,
                            end: span.end,
                        },
                    )?;
                    at = span.end;
                    continue;
                }
                let holder = old.iter().find(|old| old.start <= at && at < old.end)?;
                let end = if at < span.start {
                    holder.end.min(span.start)
                } else {
                    holder.end
                };
                copy(self, stored, Span { start: at, end })?;
                at = end;
            }
        }
        Some((content, bytes.freeze()))
    }
}

/// One range as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    From(u64, Option<u64>),
    Last(u64),
}

/// What a request's ranges come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// The field is ignored: it is malformed, of another unit, or asks for too much.
    Ignored,
    /// None of them lies within the representation, which has so many bytes.
    Unsatisfiable(u64),
    /// These spans, in the order in which they are asked for; all of them are stored.
    Spans(Vec<Span>),
    /// Something that is asked for is not stored.
    Missing,
}

impl Ranges {
    /// Compares what is asked for with what is there. Ranges that overlap or nearly touch become one.
    pub(crate) fn of(field: &HeaderValue, content: &Content, most: usize) -> Self {
        let Some(asked) = parse(field.as_bytes(), most) else {
            return Self::Ignored;
        };
        let length = content.length();
        if content.is_whole() && length.is_none_or(|length| length == 0) {
            return Self::Ignored;
        }
        let mut spans: Vec<Span> = Vec::new();
        for range in asked {
            match resolve(range, length) {
                Resolved::Within(span) => include(&mut spans, span),
                Resolved::Outside => {}
                Resolved::Unknown => return Self::Missing,
            }
        }
        if spans.is_empty() {
            return length.map_or(Self::Missing, Self::Unsatisfiable);
        }
        if spans.iter().all(|span| content.locate(*span).is_some()) {
            Self::Spans(spans)
        } else {
            Self::Missing
        }
    }
}

/// What one range comes to.
enum Resolved {
    Within(Span),
    Outside,
    /// It cannot be said without the length of the whole.
    Unknown,
}

fn resolve(range: Asked, length: Option<u64>) -> Resolved {
    let within = |satisfiable, start, end| {
        if satisfiable {
            Resolved::Within(Span { start, end })
        } else {
            Resolved::Outside
        }
    };
    match (range, length) {
        (Asked::From(first, Some(last)), None) => within(true, first, last.saturating_add(1)),
        (_, None) => Resolved::Unknown,
        (Asked::From(first, last), Some(length)) => {
            let end = last.map_or(length, |last| last.saturating_add(1).min(length));
            within(first < length, first, end)
        }
        (Asked::Last(count), Some(length)) => within(
            count > 0 && length > 0,
            length.saturating_sub(count),
            length,
        ),
    }
}

/// Adds a span, joined with all those that it comes near to, at the place of the first of them.
fn include(spans: &mut Vec<Span>, new: Span) {
    let near = |one: &Span, other: &Span| {
        one.start <= other.end.saturating_add(OVERHEAD)
            && other.start <= one.end.saturating_add(OVERHEAD)
    };
    let mut joined = new;
    let mut place = spans.len();
    while let Some(found) = spans.iter().position(|span| near(span, &joined)) {
        let other = spans.remove(found);
        joined = Span {
            start: joined.start.min(other.start),
            end: joined.end.max(other.end),
        };
        place = place.min(found);
    }
    spans.insert(place.min(spans.len()), joined);
}

/// `None` unless it is a well-formed set of byte ranges, and of no more than `most`.
fn parse(field: &[u8], most: usize) -> Option<Vec<Asked>> {
    let (unit, set) = field.split_at_checked(field.iter().position(|byte| *byte == b'=')?)?;
    if !unit.trim_ascii().eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut asked = Vec::new();
    for member in members(&set[1..]) {
        let dash = member.iter().position(|byte| *byte == b'-')?;
        let (first, last) = (&member[..dash], &member[dash + 1..]);
        let range = match (first.is_empty(), last.is_empty()) {
            (true, _) => Asked::Last(number(last)?),
            (false, true) => Asked::From(number(first)?, None),
            (false, false) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return None;
                }
                Asked::From(first, Some(last))
            }
        };
        if asked.len() == most {
            return None;
        }
        asked.push(range);
    }
    (!asked.is_empty()).then_some(asked)
}

/// Reads `Content-Range: bytes 0-4/10`: the span, and the length of the whole if it is known.
pub(crate) fn parse_content_range(field: &HeaderValue) -> Option<(Span, Option<u64>)> {
    let text = field.as_bytes().trim_ascii();
    let (unit, rest) = text.split_at_checked(text.iter().position(|byte| *byte == b' ')?)?;
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let rest = rest.trim_ascii();
    let slash = rest.iter().position(|byte| *byte == b'/')?;
    let (range, length) = (&rest[..slash], &rest[slash + 1..]);
    let dash = range.iter().position(|byte| *byte == b'-')?;
    let (first, last) = (number(&range[..dash])?, number(&range[dash + 1..])?);
    let length = if length == b"*" {
        None
    } else {
        Some(number(length)?)
    };
    let end = last.checked_add(1)?;
    let valid = first <= last && length.is_none_or(|length| end <= length);
    valid.then_some((Span { start: first, end }, length))
}

/// Writes `Content-Range` for one span.
pub(crate) fn content_range(span: Span, length: Option<u64>) -> String {
    let last = span.end.saturating_sub(1);
    match length {
        Some(length) => format!("bytes {}-{last}/{length}", span.start),
        None => format!("bytes {}-{last}/*", span.start),
    }
}
