//! What answers of Pitchey's edge say of it, for those who look for what went wrong.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

const LOCATION: HeaderName = HeaderName::from_static("x-edge-location");
const VERSION: HeaderName = HeaderName::from_static("x-worker-version");
const TIME: HeaderName = HeaderName::from_static("x-response-time");

/// What is the same in all answers.
#[derive(Clone, Debug)]
pub struct Marks {
    location: Option<HeaderValue>,
}

impl Marks {
    /// Where this edge is; answers do not say so if it has no name.
    pub fn new(location: &str) -> Self {
        let location = HeaderValue::from_str(location).ok();
        Self {
            location: location.filter(|location| !location.is_empty()),
        }
    }

    /// Says it, and how long the answer took until its body begins.
    pub fn leave(&self, headers: &mut HeaderMap, took: Duration) {
        if let Some(location) = &self.location {
            headers.insert(LOCATION, location.clone());
        }
        let version = HeaderValue::from_static(env!("CARGO_PKG_VERSION"));
        headers.insert(VERSION, version);
        let took = took.as_secs_f64() * 1000.0;
        if let Ok(took) = HeaderValue::try_from(format!("{took:.3}ms")) {
            headers.insert(TIME, took);
        }
    }
}
