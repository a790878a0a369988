//! Paths in one spelling, and those that have none.
//!
//! Two programs that read one path differently are how a private answer is stored as a public one. So what
//! could be read in two ways is refused, not repaired: no browser sends it.

use std::borrow::Cow;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Escape,
    Letter,
    Segment,
}

impl Refused {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Escape => "The path has an escape that no path needs.",
            Self::Letter => "The path has a character that no path of this site has.",
            Self::Segment => "The path has a segment that is empty, or is made of dots.",
        }
    }
}

/// The path with what need not be escaped decoded, once.
pub(super) fn normal(path: &str) -> Result<Cow<'_, str>, Refused> {
    let path = if path.contains('%') {
        Cow::Owned(decoded(path)?)
    } else {
        Cow::Borrowed(path)
    };
    let is_letter =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/%!$'()*,:@+=&".contains(&byte);
    if !path.starts_with('/') || !path.bytes().all(is_letter) {
        return Err(Refused::Letter);
    }
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if (segment.is_empty() && !is_last) || segment == "." || segment == ".." {
            return Err(Refused::Segment);
        }
    }
    Ok(path)
}

fn decoded(path: &str) -> Result<String, Refused> {
    let mut normal = String::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            normal.push(char::from(byte));
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = digit()
            .zip(digit())
            .and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        match value.ok_or(Refused::Escape)? {
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                normal.push(char::from(byte));
            }
            // Separators of some program or other, what is no text, and escapes of escapes.
            0..=0x1f | 0x7f | b'/' | b'\\' | b'%' | b';' | b'?' | b'#' => {
                return Err(Refused::Escape);
            }
            byte => {
                use std::fmt::Write as _;
                let _ = write!(normal, "%{byte:02X}");
            }
        }
    }
    Ok(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_need_not_be_escaped_is_decoded_once() {
        assert_eq!(normal("/api/pitches").expect("plain"), "/api/pitches");
        assert_eq!(normal("/api/%70itches").expect("plain"), "/api/pitches");
        assert_eq!(normal("/a%c3%a4/b").expect("text"), "/a%C3%A4/b");
        assert_eq!(normal("/api/me/").expect("another path"), "/api/me/");
        assert_eq!(normal("/").expect("the root"), "/");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (path, why) in [
            ("//api/me", Refused::Segment),
            ("/api//me", Refused::Segment),
            ("/api/./me", Refused::Segment),
            ("/api/x/../me", Refused::Segment),
            ("/api/x/%2e%2E/me", Refused::Segment),
            ("/api/me;a.css", Refused::Letter),
            ("/api\\me", Refused::Letter),
            ("/api/me%2f..%2fx.js", Refused::Escape),
            ("/api/me%5cx.js", Refused::Escape),
            ("/api/me%00", Refused::Escape),
            ("/api/me%0d%0ax", Refused::Escape),
            ("/api/me%3ba.css", Refused::Escape),
            ("/api/me%3fx.css", Refused::Escape),
            ("/api/me%23x.css", Refused::Escape),
            ("/api/me%252ex", Refused::Escape),
            ("/api/me%2", Refused::Escape),
            ("/api/me%zz", Refused::Escape),
            ("api/me", Refused::Letter),
            ("*", Refused::Letter),
            ("", Refused::Letter),
        ] {
            assert_eq!(normal(path), Err(why), "{path}");
        }
    }
}
