//! JSON bodies, read strictly: unknown fields and wrong values are errors, all told at once by pointer.

use crate::problem::{FieldError, Kind, Problem};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request};
use http::{HeaderMap, header};
use pitchey_model::text::{self, TextError};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::str::FromStr;

/// Errors quote names up to this many characters.
const QUOTED: usize = 64;

/// The fields of a JSON object, taken one by one; [`finish`](Self::finish) tells what was wrong.
#[derive(Debug)]
pub(crate) struct Fields {
    pointer: String,
    object: Map<String, Value>,
    errors: Vec<FieldError>,
    hash: [u8; 32],
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        check_type(request.headers())?;
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(unreadable)?;
        Self::parse(&bytes)
    }
}

/// The fields of a body that may be absent: an empty one is an empty object.
#[derive(Debug)]
pub(crate) struct OptionalFields(pub(crate) Fields);

impl<S: Send + Sync> FromRequest<S> for OptionalFields {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let typed = check_type(request.headers());
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(unreadable)?;
        if bytes.is_empty() {
            return Ok(Self(Fields::of(String::new(), Map::new())));
        }
        typed?;
        Fields::parse(&bytes).map(Self)
    }
}

/// A request whose body says nothing.
#[derive(Debug)]
pub(crate) struct NoBody;

impl<S: Send + Sync> FromRequest<S> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let OptionalFields(fields) = OptionalFields::from_request(request, state).await?;
        fields.finish().map(|()| Self)
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let refused = |detail: &str| Err(Problem::new(Kind::UnsupportedMediaType, detail));
    if headers.contains_key(header::CONTENT_ENCODING) {
        return refused("the body has a content coding, which this address does not take");
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(first), None) = (types.next(), types.next()) else {
        return refused("the body needs one Content-Type, application/json");
    };
    let text = first.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let json = matches!(essence, "application/json" | "application/merge-patch+json");
    // JSON has no charset parameter (RFC 8259, section 11); the one that means nothing is let through.
    if !json || !parts.all(|part| part.is_empty() || part.replace('"', "") == "charset=utf-8") {
        return refused("the body is not application/json in UTF-8");
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn unreadable(rejection: BytesRejection) -> Problem {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            Problem::new(Kind::ContentTooLarge, "the body is too large")
        }
        _ => Problem::new(Kind::MalformedRequest, "the body could not be read"),
    }
}

impl Fields {
    fn of(pointer: String, object: Map<String, Value>) -> Self {
        Self {
            pointer,
            object,
            errors: Vec::new(),
            hash: Sha256::digest([]).into(),
        }
    }

    /// SHA-256 of the bytes of the whole body.
    pub(crate) const fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// The reader that serde brings bounds the depth at 128.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let detail = format!("the body is not JSON, as line {line}, column {column} shows");
            Problem::new(Kind::MalformedRequest, detail)
        })?;
        match value {
            Value::Object(object) => Ok(Self {
                hash: Sha256::digest(bytes).into(),
                ..Self::of(String::new(), object)
            }),
            _ => Err(Problem::invalid_content(vec![FieldError {
                pointer: String::new(),
                code: "type",
                detail: "the body must be an object".to_owned(),
            }])),
        }
    }

    /// Something is wrong with a field.
    pub(crate) fn fail(&mut self, name: &str, code: &'static str, detail: impl Into<String>) {
        let pointer = format!("{}/{}", self.pointer, escaped(name));
        self.errors.push(FieldError {
            pointer,
            code,
            detail: detail.into(),
        });
    }

    /// A field as it is; `None` if it is absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.object.remove(name)
    }

    /// A field must be there, whoever reads it.
    pub(crate) fn require(&mut self, name: &str) {
        if !self.object.contains_key(name) {
            self.fail(name, "missing", "is required");
        }
    }

    /// A field that must be there.
    fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self, &str) -> Option<T>,
    ) -> Option<T> {
        self.require(name);
        read(self, name)
    }

    /// A text as it was sent, neither trimmed nor normalised.
    pub(crate) fn raw_text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            _ => {
                self.fail(name, "type", "must be a string");
                None
            }
        }
    }

    /// A text as it was sent that must be there and have between `min` and `max` characters.
    pub(crate) fn required_secret(&mut self, name: &str, min: usize, max: usize) -> Option<String> {
        let secret = self.required(name, Self::raw_text)?;
        if (min..=max).contains(&secret.chars().count()) {
            return Some(secret);
        }
        let detail = format!("must have {min} to {max} characters");
        self.fail(name, "length", detail);
        None
    }

    fn cleaned(
        &mut self,
        name: &str,
        clean: impl FnOnce(&str) -> Result<String, TextError>,
    ) -> Option<String> {
        let raw = self.raw_text(name)?;
        clean(&raw)
            .map_err(|error| self.fail(name, error.code(), error.to_string()))
            .ok()
    }

    /// A line of text.
    pub(crate) fn line(&mut self, name: &str, max: usize) -> Option<String> {
        self.cleaned(name, |raw| text::line(raw, max))
    }

    /// A line of text that, if it is there, says something.
    pub(crate) fn full_line(&mut self, name: &str, max: usize) -> Option<String> {
        self.cleaned(name, |raw| text::required_line(raw, max))
    }

    /// A line of text that must be there and say something.
    pub(crate) fn required_line(&mut self, name: &str, max: usize) -> Option<String> {
        self.required(name, |fields, name| fields.full_line(name, max))
    }

    /// A text of several lines.
    pub(crate) fn paragraphs(&mut self, name: &str, max: usize) -> Option<String> {
        self.cleaned(name, |raw| text::paragraphs(raw, max))
    }

    /// A word of a vocabulary, or anything else that reads itself from text.
    pub(crate) fn word<T: FromStr<Err: std::fmt::Display>>(&mut self, name: &str) -> Option<T> {
        let raw = self.raw_text(name)?;
        raw.parse()
            .map_err(|error| self.fail(name, "unknown_value", format!("{error}")))
            .ok()
    }

    /// The same, and it must be there.
    pub(crate) fn required_word<T: FromStr<Err: std::fmt::Display>>(
        &mut self,
        name: &str,
    ) -> Option<T> {
        self.required(name, Self::word)
    }

    /// Anything that reads itself from text and says what shape it must have.
    pub(crate) fn required_shaped<T: FromStr<Err: std::fmt::Display>>(
        &mut self,
        name: &str,
    ) -> Option<T> {
        let raw = self.required(name, Self::raw_text)?;
        raw.trim()
            .parse()
            .map_err(|error| self.fail(name, "malformed", format!("{error}")))
            .ok()
    }

    /// A UUID in any case.
    pub(crate) fn uuid(&mut self, name: &str) -> Option<uuid::Uuid> {
        let raw = self.raw_text(name)?;
        let id = uuid::Uuid::parse_str(&raw).ok();
        if id.is_none() {
            self.fail(name, "malformed", "must be a UUID");
        }
        id
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        let value = self.take(name)?.as_bool();
        if value.is_none() {
            self.fail(name, "type", "must be true or false");
        }
        value
    }

    /// A whole number within bounds.
    pub(crate) fn integer(
        &mut self,
        name: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        let value = self.take(name)?;
        let Some(number) = whole(&value) else {
            self.fail(name, "type", "must be a whole number");
            return None;
        };
        if range.contains(&number) {
            return Some(number);
        }
        let detail = format!("must be from {} to {}", range.start(), range.end());
        self.fail(name, "out_of_range", detail);
        None
    }

    /// The same, and it must be there.
    pub(crate) fn required_integer(
        &mut self,
        name: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        self.required(name, |fields, name| fields.integer(name, range))
    }

    /// A finite number within bounds, the upper one excluded; it must be there.
    pub(crate) fn required_number(
        &mut self,
        name: &str,
        range: std::ops::Range<f64>,
    ) -> Option<f64> {
        let number = self.required(name, |fields, name| {
            let value = fields.take(name)?;
            if value.as_f64().is_none() {
                fields.fail(name, "type", "must be a number");
            }
            value.as_f64()
        })?;
        if range.contains(&number) {
            return Some(number);
        }
        let detail = format!("must be at least {} and below {}", range.start, range.end);
        self.fail(name, "out_of_range", detail);
        None
    }

    /// A field that `null` takes away: `Some(None)`.
    #[expect(
        clippy::option_option,
        reason = "absent, taken away, or a value: the three of RFC 7396"
    )]
    pub(crate) fn nullable<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self, &str) -> Option<T>,
    ) -> Option<Option<T>> {
        if self.object.get(name).is_some_and(Value::is_null) {
            self.object.remove(name);
            return Some(None);
        }
        read(self, name).map(Some)
    }

    /// An array of at most `max` elements, each read for itself by its pointer.
    pub(crate) fn array<T>(
        &mut self,
        name: &str,
        max: usize,
        mut read: impl FnMut(&mut Self, &str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::Array(elements) = self.take(name)? else {
            self.fail(name, "type", "must be an array");
            return None;
        };
        if elements.len() > max {
            let detail = format!("must have at most {max} elements, has {}", elements.len());
            self.fail(name, "too_long", detail);
            return None;
        }
        // The elements are read as the fields `0`, `1`, … of an object, which is what pointers call them.
        let names: Vec<String> = (0..elements.len()).map(|n| n.to_string()).collect();
        let object = names.iter().cloned().zip(elements).collect();
        self.within(name, object, |inner| {
            let mut all = Vec::with_capacity(names.len());
            for name in &names {
                all.extend(read(inner, name));
            }
            all
        })
    }

    /// The same, and it must be there and hold something.
    pub(crate) fn required_array<T>(
        &mut self,
        name: &str,
        max: usize,
        read: impl FnMut(&mut Self, &str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let all = self.required(name, |fields, name| fields.array(name, max, read))?;
        if all.is_empty() && self.errors.is_empty() {
            self.fail(name, "empty", "must not be empty");
        }
        Some(all)
    }

    /// An object, read by its own fields.
    pub(crate) fn object<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let Value::Object(object) = self.take(name)? else {
            self.fail(name, "type", "must be an object");
            return None;
        };
        self.within(name, object, read).flatten()
    }

    /// The same, and it must be there.
    pub(crate) fn required_object<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        self.required(name, |fields, name| fields.object(name, read))
    }

    /// What is within a field; `None` if anything there is wrong.
    fn within<T>(
        &mut self,
        name: &str,
        object: Map<String, Value>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let mut inner = Self::of(format!("{}/{}", self.pointer, escaped(name)), object);
        let all = read(&mut inner);
        inner.refuse_the_rest();
        let well = inner.errors.is_empty();
        self.errors.append(&mut inner.errors);
        well.then_some(all)
    }

    fn refuse_the_rest(&mut self) {
        for (name, _) in std::mem::take(&mut self.object) {
            self.fail(&name, "unknown_field", "is not a field of this object");
        }
    }

    /// Everything that was wrong, what was not asked for included.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        self.refuse_the_rest();
        if self.errors.is_empty() {
            return Ok(());
        }
        self.errors
            .sort_by(|a, b| (&a.pointer, a.code).cmp(&(&b.pointer, b.code)));
        Err(Problem::invalid_content(self.errors))
    }

    /// What was read, or everything that was wrong. What must be there and is not has been told.
    pub(crate) fn give<T>(self, read: Option<T>) -> Result<T, Problem> {
        self.finish()?;
        // Whatever is `None` has left an error behind.
        read.ok_or_else(Problem::internal)
    }
}

/// A whole number, also when it is written with a fraction of zero (RFC 8259 knows one kind of number).
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let float = value.as_f64()?;
        let exact = float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_991.0;
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
        exact.then_some(float as i64)
    })
}

/// The name of a field in a pointer (RFC 6901, section 3), cut and fit to be sent back.
fn escaped(name: &str) -> String {
    let shown: String = name
        .chars()
        .take(QUOTED)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    shown.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests;
