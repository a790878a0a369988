//! The id that ties together a client's report, an access log line and an error.

use http::{HeaderMap, HeaderName, HeaderValue};
use pitchey_api::RequestId;
use pitchey_runtime::{Clock, Random, uuid_v7};

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a client.
const MAX_LENGTH: usize = 64;

/// The id that the client (or the edge in front of it) sent: at most 64 letters, digits, dots,
/// underscores and hyphens. Anything else is ignored, for it ends up in logs.
pub(super) fn sent(headers: &HeaderMap) -> Option<RequestId> {
    let mut values = headers.get_all(&X_REQUEST_ID).into_iter();
    let value = values.next()?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let valid = values.next().is_none()
        && (1..=MAX_LENGTH).contains(&value.len())
        && value.as_bytes().iter().all(plain);
    let text = value.to_str().ok().filter(|_| valid)?;
    Some(RequestId(text.to_owned()))
}

/// A new id, a UUID of version 7.
pub(super) fn generate(clock: &impl Clock, random: &impl Random) -> RequestId {
    RequestId(uuid_v7(clock, random).to_string())
}

/// Says the id in the answer.
pub(super) fn insert(headers: &mut HeaderMap, id: &RequestId) {
    let value = HeaderValue::from_str(&id.0).expect("both kinds of ids are plain ASCII");
    headers.insert(X_REQUEST_ID.clone(), value);
}

#[cfg(test)]
mod tests {
    use pitchey_runtime::ManualRuntime;

    use super::*;

    fn taken(values: &[&[u8]]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value).expect("a header value");
            headers.append("x-request-id", value);
        }
        sent(&headers).map(|id| id.0)
    }

    #[test]
    fn a_plain_id_is_taken() {
        let longest = "x".repeat(64);
        for id in [
            "a",
            "A-1_b.2",
            "0198a6e5-7c1f-7a3b-8d2e-1234567890ab",
            &longest,
        ] {
            assert_eq!(taken(&[id.as_bytes()]).as_deref(), Some(id));
        }
    }

    #[test]
    fn an_id_that_is_not_plain_is_ignored() {
        let too_long = "x".repeat(65);
        let ids: [&[u8]; 7] = [
            b"",
            b"a b",
            b"a\tb",
            b"a\"b",
            b"a/b",
            b"\xc3\xa4",
            too_long.as_bytes(),
        ];
        for id in ids {
            assert_eq!(taken(&[id]), None, "{}", String::from_utf8_lossy(id));
        }
    }

    #[test]
    fn two_ids_are_no_id() {
        assert_eq!(taken(&[b"a", b"b"]), None);
        assert_eq!(taken(&[]), None);
    }

    #[test]
    fn a_new_id_is_a_uuid_of_version_7() {
        let runtime = ManualRuntime::new(1);
        let id = generate(&runtime, &runtime);
        assert_eq!(id.0.len(), 36);
        assert_eq!(&id.0[14..15], "7");
        assert_ne!(id.0, generate(&runtime, &runtime).0);
    }
}
