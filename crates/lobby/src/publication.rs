//! What the site publishes over HTTP, told by who knows the secret.

use http::{HeaderMap, StatusCode, header};
use pitchey_realtime::RoomName;
use serde::Deserialize;
use serde_json::value::RawValue;
use subtle::ConstantTimeEq as _;

/// The most bytes of a request.
pub const MAX_BODY: usize = 1 << 20;

/// The most bytes of one publication's data.
pub const MAX_DATA: usize = 64 * 1024;

/// The most publications of a request.
const MAX_COUNT: usize = 1000;

/// The longest id.
const MAX_ID: usize = 128;

/// One thing to publish.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// Where.
    pub room: RoomName,
    /// Any JSON.
    pub data: Box<RawValue>,
    /// Under the same id it is published once, however often it comes within an hour.
    #[serde(default)]
    pub id: Option<String>,
}

/// The body of a request: one publication, or a list of them in their order.
#[derive(Debug)]
pub enum Publications {
    /// It is answered with its position.
    One(Publication),
    /// They are answered with a list of theirs.
    Many(Vec<Publication>),
}

/// Why nothing is published.
#[derive(Debug, thiserror::Error)]
pub enum BadPublication {
    /// It cannot be read.
    #[error("{0}")]
    Malformed(#[from] serde_json::Error),
    /// Something in it is larger than it may be.
    #[error(
        "a publication has {MAX_DATA} bytes at most, its id {MAX_ID}, a request {MAX_COUNT} of them"
    )]
    TooLarge,
}

impl Publications {
    /// Reads the body of a request.
    pub fn parse(body: &[u8]) -> Result<Self, BadPublication> {
        let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
        let publications = if first == Some(&b'[') {
            Self::Many(serde_json::from_slice(body)?)
        } else {
            Self::One(serde_json::from_slice(body)?)
        };
        let all = publications.all();
        let fits = |one: &Publication| {
            let id = one.id.as_ref().map_or(0, String::len);
            one.data.get().len() <= MAX_DATA && id <= MAX_ID
        };
        if all.len() <= MAX_COUNT && all.iter().all(fits) {
            Ok(publications)
        } else {
            Err(BadPublication::TooLarge)
        }
    }

    /// All of them, in their order.
    pub fn all(&self) -> &[Publication] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// The secret that opens what is not for everyone.
pub struct Secret(Option<Vec<u8>>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

impl Secret {
    /// How long it is at least.
    pub const MIN_BYTES: usize = 32;

    /// None, if it is empty.
    pub fn new(secret: &str) -> Self {
        Self((!secret.is_empty()).then(|| format!("Bearer {secret}").into_bytes()))
    }

    /// Whether a request shows it; otherwise the status of its answer. Takes as long whatever is the same at the
    /// beginning.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), StatusCode> {
        let secret = self.0.as_ref().ok_or(StatusCode::NOT_FOUND)?;
        let shown = headers.get(header::AUTHORIZATION);
        let shown = shown.ok_or(StatusCode::UNAUTHORIZED)?.as_bytes();
        if bool::from(shown.ct_eq(secret)) {
            Ok(())
        } else {
            Err(StatusCode::UNAUTHORIZED)
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn shown(value: Option<&'static str>) -> HeaderMap {
        let value = value.map(|value| (header::AUTHORIZATION, HeaderValue::from_static(value)));
        value.into_iter().collect()
    }

    #[test]
    fn the_secret_opens_and_nothing_else_does() {
        let secret = Secret::new("a secret");
        assert_eq!(secret.check(&shown(Some("Bearer a secret"))), Ok(()));
        let wrong = [
            None,
            Some(""),
            Some("Bearer "),
            Some("Bearer a secre"),
            Some("Bearer a secret "),
            Some("bearer a secret"),
            Some("a secret"),
        ];
        for value in wrong {
            let refused = Err(StatusCode::UNAUTHORIZED);
            assert_eq!(secret.check(&shown(value)), refused, "{value:?}");
        }
        let none = Secret::new("");
        let gone = Err(StatusCode::NOT_FOUND);
        assert_eq!(none.check(&shown(Some("Bearer "))), gone);
    }

    #[test]
    fn one_is_read_and_so_is_a_list() {
        let count = |body: &str| Publications::parse(body.as_bytes()).map(|all| all.all().len());
        let one = r#"{"room":"lists","data":1,"id":"a"}"#;
        assert_eq!(count(one).expect("one"), 1);
        assert_eq!(count(&format!(" [{one},{one}]")).expect("two"), 2);
        assert_eq!(count("[]").expect("none"), 0);
        for wrong in ["", "{}", "1", r#"{"room":"Lists","data":1}"#] {
            let refused = count(wrong).expect_err(wrong);
            assert!(matches!(refused, BadPublication::Malformed(_)), "{wrong}");
        }
        let long = "x".repeat(MAX_DATA);
        for large in [
            format!(r#"{{"room":"lists","data":"{long}"}}"#),
            format!(r#"{{"room":"lists","data":1,"id":"{}"}}"#, &long[..129]),
            format!("[{}]", vec![one; 1001].join(",")),
        ] {
            let refused = count(&large).expect_err("too large");
            assert!(matches!(refused, BadPublication::TooLarge));
        }
    }
}
