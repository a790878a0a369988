//! Query strings, read strictly: unknown, repeated and unreadable parameters are errors, all told at once.

use crate::fields::FieldSet;
use crate::problem::{FieldError, Kind, Problem};
use pitchey_model::text::{self, TextError};
use std::str::FromStr;

/// Lists give this many entries unless told otherwise.
pub(crate) const DEFAULT_LIMIT: u32 = 20;
/// And at most this many.
pub(crate) const MAX_LIMIT: u32 = 100;
/// More parameters than any endpoint has are not even looked at.
const MAX_PARAMETERS: usize = 32;
/// Errors quote input up to this many characters.
const QUOTED: usize = 64;

/// The parameters of a request, taken one by one; [`finish`](Self::finish) tells what was wrong.
#[derive(Debug)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Params {
    pub(crate) fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut errors = Vec::new();
        let pieces = query
            .unwrap_or_default()
            .split('&')
            .filter(|piece| !piece.is_empty());
        for (n, piece) in pieces.enumerate() {
            if n == MAX_PARAMETERS {
                let detail = format!("the query has more than {MAX_PARAMETERS} parameters");
                return Err(Problem::new(Kind::MalformedRequest, detail));
            }
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            let (Some(name), Some(value)) = (decode(name), decode(value)) else {
                let detail = "the query is not percent-encoded UTF-8";
                return Err(Problem::new(Kind::MalformedRequest, detail));
            };
            if pairs.iter().any(|(seen, _)| *seen == name) {
                errors.push(error(
                    &name,
                    "repeated",
                    "is given more than once".to_owned(),
                ));
            } else {
                pairs.push((name, value));
            }
        }
        Ok(Self { pairs, errors })
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(known, _)| known == name)?;
        Some(self.pairs.swap_remove(at).1)
    }

    fn fail(&mut self, name: &str, code: &'static str, detail: impl Into<String>) {
        self.errors.push(error(name, code, detail.into()));
    }

    /// A word of a vocabulary, or anything else that reads itself from text.
    pub(crate) fn word<T: FromStr<Err: std::fmt::Display>>(&mut self, name: &str) -> Option<T> {
        let raw = self.take(name)?;
        match raw.parse() {
            Ok(word) => Some(word),
            Err(error) => {
                self.fail(
                    name,
                    "unknown_value",
                    format!("{:?} is {error}", quote(&raw)),
                );
                None
            }
        }
    }

    /// A word of a vocabulary that must be there.
    pub(crate) fn required_word<T: FromStr<Err: std::fmt::Display>>(
        &mut self,
        name: &str,
    ) -> Option<T> {
        if !self.pairs.iter().any(|(known, _)| known == name) {
            self.fail(name, "missing", "is required");
        }
        self.word(name)
    }

    /// Anything that reads itself from text and says what shape it must have.
    pub(crate) fn shaped<T: FromStr<Err: std::fmt::Display>>(&mut self, name: &str) -> Option<T> {
        let raw = self.take(name)?;
        raw.parse()
            .map_err(|error| self.fail(name, "malformed", format!("{error}")))
            .ok()
    }

    /// How many entries, within the bounds.
    pub(crate) fn limit(&mut self) -> u32 {
        let Some(raw) = self.take("limit") else {
            return DEFAULT_LIMIT;
        };
        match raw.parse::<u32>() {
            // `+5` and `007` are no ways to write a limit: one value, one key in the caches.
            Ok(limit) if (1..=MAX_LIMIT).contains(&limit) && limit.to_string() == raw => limit,
            _ => {
                self.fail(
                    "limit",
                    "out_of_range",
                    format!("must be a whole number from 1 to {MAX_LIMIT}"),
                );
                DEFAULT_LIMIT
            }
        }
    }

    /// A line of text.
    pub(crate) fn line(&mut self, name: &str, max: usize) -> Option<String> {
        let raw = self.take(name)?;
        text::line(&raw, max)
            .map_err(|error| self.text_error(name, error))
            .ok()
    }

    /// A line of text that must be there and say something.
    pub(crate) fn required_line(&mut self, name: &str, max: usize) -> Option<String> {
        let Some(raw) = self.take(name) else {
            self.fail(name, "missing", "is required");
            return None;
        };
        text::required_line(&raw, max)
            .map_err(|error| self.text_error(name, error))
            .ok()
    }

    fn text_error(&mut self, name: &str, error: TextError) {
        self.fail(name, error.code(), error.to_string());
    }

    /// The fields to show, of those there are.
    pub(crate) fn fields(&mut self, known: &'static [&'static str]) -> FieldSet {
        let Some(raw) = self.take("fields") else {
            return FieldSet::all();
        };
        match FieldSet::parse(&raw, known) {
            Ok(fields) => fields,
            Err(detail) => {
                self.fail("fields", "unknown_field", detail);
                FieldSet::all()
            }
        }
    }

    /// Everything that was wrong, what was not asked for included.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in std::mem::take(&mut self.pairs) {
            self.fail(
                &name,
                "unknown_parameter",
                "is not a parameter of this address",
            );
        }
        if self.errors.is_empty() {
            return Ok(());
        }
        self.errors
            .sort_by(|a, b| (&a.pointer, a.code).cmp(&(&b.pointer, b.code)));
        Err(Problem::invalid_parameters(self.errors))
    }
}

/// An address takes no parameters at all.
pub(crate) fn none(query: Option<&str>) -> Result<(), Problem> {
    Params::parse(query)?.finish()
}

/// A parameter in the path that has not its shape.
pub(crate) fn bad_path(name: &str, detail: impl std::fmt::Display) -> Problem {
    let detail = detail.to_string();
    Problem::invalid_parameters(vec![FieldError {
        pointer: format!("/path/{name}"),
        code: "malformed",
        detail,
    }])
}

fn error(name: &str, code: &'static str, detail: String) -> FieldError {
    let name = quote(name).replace('~', "~0").replace('/', "~1");
    FieldError {
        pointer: format!("/query/{name}"),
        code,
        detail,
    }
}

/// The beginning of what was sent, fit to be sent back.
fn quote(raw: &str) -> String {
    raw.chars()
        .take(QUOTED)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// `+` and `%XX` decoded; `None` if that is not UTF-8 or an escape is cut.
pub(crate) fn decode(raw: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pitchey_model::Genre;

    fn codes(query: &str, read: impl Fn(&mut Params)) -> Vec<String> {
        let mut params = Params::parse(Some(query)).expect("it can be read");
        read(&mut params);
        let Err(problem) = params.finish() else {
            return Vec::new();
        };
        let body = serde_json::to_value(format!("{problem:?}")).expect("text is JSON");
        let text = body.as_str().unwrap_or_default().to_owned();
        text.split("pointer: \"")
            .skip(1)
            .map(|piece| piece.split('"').next().unwrap_or_default().to_owned())
            .collect()
    }

    #[test]
    fn every_error_is_told_at_once() {
        let wrong = codes("limit=0&genre=opera&x=1&limit=5", |params| {
            let _: Option<Genre> = params.word("genre");
            params.limit();
        });
        assert_eq!(
            wrong,
            ["/query/genre", "/query/limit", "/query/limit", "/query/x"]
        );
    }

    #[test]
    fn limits_have_one_spelling() {
        for bad in ["0", "101", "-1", "+5", "007", "5.0", "", "9999999999"] {
            let wrong = codes(&format!("limit={}", bad.replace('+', "%2B")), |params| {
                params.limit();
            });
            assert_eq!(wrong, ["/query/limit"], "{bad}");
        }
        for good in ["1", "100"] {
            assert!(
                codes(&format!("limit={good}"), |p| assert_eq!(
                    p.limit().to_string(),
                    good
                ))
                .is_empty()
            );
        }
    }

    #[test]
    fn what_is_not_percent_encoded_utf8_is_malformed() {
        for bad in ["q=%", "q=%4", "q=%zz", "q=%ff", "%ff=1"] {
            let problem = Params::parse(Some(bad)).expect_err(bad);
            assert_eq!(problem.kind(), Kind::MalformedRequest, "{bad}");
        }
        assert_eq!(decode("a+b%20c%C3%A9").as_deref(), Some("a b cé"));
    }

    #[test]
    fn a_flood_of_parameters_is_not_read() {
        let flood = (0..40)
            .map(|n| format!("a{n}=1"))
            .collect::<Vec<_>>()
            .join("&");
        assert!(Params::parse(Some(&flood)).is_err());
    }
}
