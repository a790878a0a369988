//! What answers of Pitchey's edge say of it, for those who look for what went wrong.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::HeadersConfig;

const LOCATION: HeaderName = HeaderName::from_static("x-edge-location");
const VERSION: HeaderName = HeaderName::from_static("x-worker-version");
const TIME: HeaderName = HeaderName::from_static("x-response-time");

/// What is the same in all answers.
pub(crate) struct Marks {
    location: Option<HeaderValue>,
}

impl Marks {
    /// What the configuration wants to be said, `None` if nothing is.
    pub(crate) fn new(config: &HeadersConfig) -> Option<Self> {
        let location = HeaderValue::from_str(&config.location).ok();
        let location = location.filter(|location| !location.is_empty());
        config.debug.then_some(Self { location })
    }

    /// Says it, and how long the answer took until its body begins.
    pub(crate) fn leave(&self, headers: &mut HeaderMap, took: Duration) {
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
