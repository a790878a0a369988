//! What an origin answers, and whether it is an origin at all that does.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::time::Duration;

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// What it says, which must be JSON of the right shape.
    pub(crate) fn content<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        if self.media_type() != "application/json" {
            bail!("{}", self.shown());
        }
        serde_json::from_slice(&self.body).context("its JSON has another shape")
    }

    /// When to ask again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.header(&RETRY_AFTER)
            .parse()
            .ok()
            .map(Duration::from_secs)
    }

    /// What can be said of one that is none of an origin's.
    pub(crate) fn shown(&self) -> String {
        let (status, kind) = (self.status.as_u16(), self.media_type());
        let kind = if kind.is_empty() { "nothing" } else { kind };
        match self.header(&LOCATION) {
            "" => format!("status {status} with {kind}"),
            to => format!("status {status}, which leads to {to}"),
        }
    }

    fn media_type(&self) -> &str {
        let media_type = self.header(&CONTENT_TYPE);
        media_type.split(';').next().unwrap_or_default().trim()
    }

    fn header(&self, name: &HeaderName) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }
}

/// A problem document (RFC 9457), as the API writes them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Refused {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    detail: String,
    /// What was wrong with what was sent.
    #[serde(default)]
    pub(crate) errors: Vec<FieldError>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

/// One thing that was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct FieldError {
    /// Where in what was sent.
    pub(crate) pointer: String,
    /// What.
    pub(crate) detail: String,
}

impl Refused {
    pub(crate) fn of(answer: &Answer) -> Option<Self> {
        if answer.media_type() != "application/problem+json" {
            return None;
        }
        let refused: Self = serde_json::from_slice(&answer.body).ok()?;
        Some(Self {
            retry_after: answer.retry_after(),
            ..refused
        })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.title, self.status, self.detail)?;
        for error in &self.errors {
            write!(f, "\n  {}: {}", error.pointer, error.detail)?;
        }
        if let Some(wait) = self.retry_after {
            write!(f, "; again in {} s", wait.as_secs())?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

/// Whether it was refused as this account may not do it.
pub(crate) fn is_forbidden(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<Refused>();
    refused.is_some_and(|refused| refused.kind == "/problems/forbidden")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use serde_json::{Value, json};

    fn answer(status: u16, headers: &[(HeaderName, &'static str)], body: &str) -> Answer {
        let headers = headers.iter().cloned();
        Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: headers
                .map(|(name, value)| (name, HeaderValue::from_static(value)))
                .collect(),
            body: body.to_owned().into(),
        }
    }

    #[test]
    fn a_refusal_is_told_with_all_that_is_wrong() {
        let headers = [
            (CONTENT_TYPE, "application/problem+json"),
            (RETRY_AFTER, "7"),
        ];
        let body = json!({
            "type": "/problems/invalid-content", "title": "Invalid content", "status": 422, "detail": "see errors",
            "instance": "urn:x", "errors": [{"pointer": "/addresses/1", "code": "unknown_value", "detail": "no"}],
        });
        let refused = Refused::of(&answer(422, &headers, &body.to_string())).expect("a problem");
        let shown = "Invalid content (422): see errors\n  /addresses/1: no; again in 7 s";
        assert_eq!(refused.to_string(), shown);
    }

    #[test]
    fn what_is_no_problem_document_is_no_refusal_of_an_origin() {
        for (media_type, body) in [
            ("text/html", "<h1>Forbidden</h1>"),
            ("application/problem+json", "{}"),
            ("application/problem+json", "<h1>"),
        ] {
            let headers = [(CONTENT_TYPE, media_type)];
            assert_eq!(Refused::of(&answer(403, &headers, body)), None);
        }
    }

    #[test]
    fn what_is_no_answer_of_an_origin_is_told_by_what_it_is() {
        let told = |answer: &Answer| {
            let content = answer.content::<Vec<Value>>();
            content.map_err(|error| error.to_string())
        };
        let page = answer(200, &[(CONTENT_TYPE, "text/html; charset=utf-8")], "<html>");
        assert_eq!(told(&page), Err("status 200 with text/html".to_owned()));
        let moved = answer(301, &[(LOCATION, "https://other.example/")], "");
        let leads = "status 301, which leads to https://other.example/";
        assert_eq!(told(&moved), Err(leads.to_owned()));
        let json = [(CONTENT_TYPE, "application/json")];
        let other = answer(200, &json, "{}");
        assert_eq!(told(&other), Err("its JSON has another shape".to_owned()));
        assert_eq!(told(&answer(200, &json, "[]")), Ok(Vec::new()));
    }

    #[test]
    fn only_a_refusal_for_want_of_a_right_is_forbidden() {
        let refused = |kind: &str| Refused {
            kind: kind.to_owned(),
            title: String::new(),
            status: 403,
            detail: String::new(),
            errors: Vec::new(),
            retry_after: None,
        };
        assert!(is_forbidden(&refused("/problems/forbidden").into()));
        assert!(!is_forbidden(&refused("/problems/cross-origin").into()));
        assert!(!is_forbidden(&anyhow::anyhow!("forbidden")));
    }
}
