//! `Cache-Control`: parsing it, and what requests and responses say in it (RFC 9111, 5.2).

use std::fmt;

use http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, PRAGMA};

use crate::fields::{is_token, listed, members, number};
use crate::time::MAX_DELTA;

/// More directives than anybody has use for. What has more is treated as if it forbade everything.
pub const MAX_DIRECTIVES: usize = 64;
/// The longest `Cache-Control` that is read, in bytes of all its lines.
pub const MAX_CONTROL_BYTES: usize = 8 * 1024;

/// What stands behind the name of a directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// Nothing.
    None,
    /// A token, or the text of a quoted string: a recipient makes no difference between the two.
    Text(String),
    /// Something that the grammar does not allow.
    Invalid,
}

/// One directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Its name in lower case.
    pub name: String,
    /// Its argument.
    pub argument: Argument,
}

/// All directives of a message, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    list: Vec<Directive>,
    excessive: bool,
}

/// What a directive says that takes a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delta {
    /// The directive is not there.
    Absent,
    /// So many seconds, at most [`MAX_DELTA`].
    Seconds(u64),
    /// The directive has no argument.
    Bare,
    /// It is no number, or it is there more than once and says different things.
    Invalid,
}

impl Delta {
    /// The seconds, if there are any.
    pub fn seconds(self) -> Option<u64> {
        match self {
            Self::Seconds(seconds) => Some(seconds),
            _ => None,
        }
    }
}

/// What a directive is about that may name fields: `no-cache`, `private`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The directive is not there.
    Absent,
    /// It is about these fields.
    Fields(Vec<HeaderName>),
    /// It is about the whole response.
    Whole,
}

impl Directives {
    /// Reads all lines of a field; each line stands for itself, so that an unclosed quote in one does
    /// not swallow the next.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a HeaderValue>) -> Self {
        let mut found = Self::default();
        let mut bytes = 0_usize;
        for line in lines {
            bytes = bytes.saturating_add(line.len());
            if bytes > MAX_CONTROL_BYTES {
                found.excessive = true;
                break;
            }
            for member in members(line.as_bytes()) {
                found.push(parse_directive(member));
            }
        }
        found
    }

    /// The directives of the field `Cache-Control`.
    pub fn of(headers: &HeaderMap) -> Self {
        Self::parse(headers.get_all(CACHE_CONTROL))
    }

    pub(crate) fn push(&mut self, directive: Directive) {
        if self.list.len() < MAX_DIRECTIVES {
            self.list.push(directive);
        } else {
            self.excessive = true;
        }
    }

    /// Whether there were too many of them, or too long ones, to read all.
    pub fn is_excessive(&self) -> bool {
        self.excessive
    }

    /// The directives, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Directive> {
        self.list.iter()
    }

    /// Whether a directive is there, whatever its argument.
    pub fn has(&self, name: &str) -> bool {
        self.list.iter().any(|directive| directive.name == name)
    }

    /// What a directive says that takes seconds.
    pub fn delta(&self, name: &str) -> Delta {
        let mut found = Delta::Absent;
        for directive in self.list.iter().filter(|directive| directive.name == name) {
            let said = match &directive.argument {
                Argument::None => Delta::Bare,
                Argument::Text(text) => match number(text.as_bytes()) {
                    Some(seconds) => Delta::Seconds(seconds.min(MAX_DELTA)),
                    None => Delta::Invalid,
                },
                Argument::Invalid => Delta::Invalid,
            };
            found = if found == Delta::Absent || found == said {
                said
            } else {
                Delta::Invalid
            };
        }
        found
    }

    /// What a directive is about that may name fields. What is malformed or empty is about the whole
    /// response, which is the strictest reading.
    pub fn scope(&self, name: &str) -> Scope {
        let mut names = Vec::new();
        for directive in self.list.iter().filter(|directive| directive.name == name) {
            let Argument::Text(text) = &directive.argument else {
                return Scope::Whole;
            };
            let before = names.len();
            for field in members(text.as_bytes()) {
                match HeaderName::from_bytes(field) {
                    Ok(field) => names.push(field),
                    Err(_) => return Scope::Whole,
                }
            }
            if names.len() == before {
                return Scope::Whole;
            }
        }
        if names.is_empty() {
            Scope::Absent
        } else {
            Scope::Fields(names)
        }
    }
}

fn parse_directive(member: &[u8]) -> Directive {
    let end = member
        .iter()
        .position(|byte| !is_token(&[*byte]))
        .unwrap_or(member.len());
    let name = String::from_utf8_lossy(&member[..end]).to_ascii_lowercase();
    let argument = match member[end..].split_first() {
        None => Argument::None,
        Some((b'=', text)) if is_token(text) => {
            Argument::Text(String::from_utf8_lossy(text).into_owned())
        }
        Some((b'=', [b'"', rest @ ..])) => unquote(rest).map_or(Argument::Invalid, Argument::Text),
        Some(_) => Argument::Invalid,
    };
    Directive { name, argument }
}

/// The text of a quoted string whose first quote has been read; it must end with the other one.
fn unquote(rest: &[u8]) -> Option<String> {
    let (last, inner) = rest.split_last()?;
    if *last != b'"' {
        return None;
    }
    let (mut text, mut escaped) = (Vec::with_capacity(inner.len()), false);
    for byte in inner {
        match byte {
            b'\\' if !escaped => {
                escaped = true;
                continue;
            }
            b'"' if !escaped => return None,
            _ => text.push(*byte),
        }
        escaped = false;
    }
    if escaped {
        None
    } else {
        String::from_utf8(text).ok()
    }
}

impl fmt::Display for Directives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, directive) in self.list.iter().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            f.write_str(&directive.name)?;
            match &directive.argument {
                Argument::None => {}
                Argument::Text(text) if is_token(text.as_bytes()) => write!(f, "={text}")?,
                Argument::Text(text) => {
                    f.write_str("=\"")?;
                    for letter in text.chars() {
                        if matches!(letter, '"' | '\\') {
                            f.write_str("\\")?;
                        }
                        write!(f, "{letter}")?;
                    }
                    f.write_str("\"")?;
                }
                Argument::Invalid => f.write_str("=")?,
            }
        }
        Ok(())
    }
}

/// What a request asks of caches (RFC 9111, 5.2.1; RFC 5861, 4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a directive of its own"
)]
pub(crate) struct RequestControl {
    pub(crate) max_age: Option<u64>,
    /// The largest number if any staleness will do.
    pub(crate) max_stale: Option<u64>,
    pub(crate) min_fresh: Option<u64>,
    pub(crate) no_cache: bool,
    pub(crate) no_store: bool,
    pub(crate) no_transform: bool,
    pub(crate) only_if_cached: bool,
    pub(crate) stale_if_error: u64,
}

impl RequestControl {
    /// Reads the strictest meaning out of what is malformed: an invalid `max-age` or `min-fresh` asks
    /// for validation, an invalid `max-stale` allows nothing.
    ///
    /// `Pragma: no-cache` counts where there is no `Cache-Control` (RFC 9111, 5.4).
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if !headers.contains_key(CACHE_CONTROL) {
            let no_cache = headers.contains_key(PRAGMA)
                && listed(headers, &PRAGMA).any(|word| word.eq_ignore_ascii_case(b"no-cache"));
            return Self {
                no_cache,
                ..Self::default()
            };
        }
        let said = Directives::of(headers);
        let malformed = |delta| matches!(delta, Delta::Bare | Delta::Invalid);
        let (max_age, min_fresh) = (said.delta("max-age"), said.delta("min-fresh"));
        Self {
            max_age: max_age.seconds(),
            max_stale: match said.delta("max-stale") {
                Delta::Seconds(seconds) => Some(seconds),
                Delta::Bare => Some(u64::MAX),
                Delta::Absent | Delta::Invalid => None,
            },
            min_fresh: min_fresh.seconds(),
            no_cache: said.has("no-cache")
                || malformed(max_age)
                || malformed(min_fresh)
                || said.is_excessive(),
            no_store: said.has("no-store") || said.is_excessive(),
            no_transform: said.has("no-transform") || said.is_excessive(),
            only_if_cached: said.has("only-if-cached"),
            stale_if_error: said.delta("stale-if-error").seconds().unwrap_or(0),
        }
    }
}
