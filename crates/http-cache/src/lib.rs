//! A shared HTTP cache as decisions: what may be stored, what may be served, how to validate it, what
//! becomes invalid.
//!
//! The crate does no input or output, knows no clock and no runtime, and keeps nothing: it is given a
//! request, what is stored for its [`Key`], and the time, and says what to do. So the same rules serve a
//! proxy over a disk, a worker over a key-value store, and a test.
//!
//! It implements RFC 9111 (caching) with RFC 5861 (stale windows), RFC 9211 (`Cache-Status`), RFC 9213
//! (targeted fields), and the parts of RFC 9110 that caches carry out: conditions, ranges, dates,
//! fields of a connection. `docs/HTTP-CACHE.md` lists each requirement with the test that shows it.
//!
//! # How it is used
//!
//! 1. Load the [`Stored`] responses for [`Key::of`] the target URI: there is one for each variant.
//! 2. [`SharedCache::lookup`] says: serve this; serve this and renew it; ask the origin, with these
//!    fields.
//! 3. What the origin answers goes to [`SharedCache::on_response`]; that it did not answer, to
//!    [`SharedCache::on_failure`].
//! 4. The [`Outcome`] says what the client gets, what becomes of the stored responses, and which other
//!    keys are invalid.
//!
//! The body is the caller's: it is never looked at. A [`Body`] says which bytes of it are sent, and
//! [`Stored::complete`] is told when it has come.
//!
//! ```
//! use http::{HeaderMap, Request, Response, StatusCode};
//! use pitchey_http_cache::{
//!     Change, Decision, Options, Respond, SharedCache, Stored, Times, Timestamp,
//! };
//!
//! let cache = SharedCache::new(Options::default());
//! let mut variants: Vec<Stored> = Vec::new();
//! let at = Timestamp::from_unix;
//! let request = Request::get("https://example.org/film").body(())?;
//!
//! // Nothing is stored, so the origin is asked.
//! let Decision::Forward(fetch) = cache.lookup(&request, &variants, at(1000)) else { panic!() };
//! let response = Response::builder()
//!     .header("cache-control", "max-age=60")
//!     .header("etag", "\"1\"")
//!     .body(())?;
//! let times = Times { request: at(1000), response: at(1001) };
//! let outcome = cache.on_response(&request, &fetch, &response, times, &variants);
//! assert!(matches!(outcome.respond, Respond::Upstream { .. }));
//! outcome.apply(&mut variants);
//! // The body has come to its end, with five bytes.
//! let stored = variants.remove(0).complete(5).expect("all of it came");
//! variants.push(stored);
//!
//! // It is served while it is fresh ...
//! let Decision::Serve(answer) = cache.lookup(&request, &variants, at(1010)) else { panic!() };
//! assert_eq!(answer.headers["age"], "10");
//! let mut headers = answer.headers;
//! answer.cache_status.append_to("example", &mut headers);
//! assert_eq!(headers["cache-status"], "example; hit; ttl=50");
//!
//! // ... and then the origin is asked whether it still is good.
//! let Decision::Validate(fetch) = cache.lookup(&request, &variants, at(2000)) else { panic!() };
//! assert_eq!(fetch.headers["if-none-match"], "\"1\"");
//! let response = Response::builder()
//!     .status(StatusCode::NOT_MODIFIED)
//!     .header("etag", "\"1\"")
//!     .body(())?;
//! let times = Times { request: at(2000), response: at(2000) };
//! let outcome = cache.on_response(&request, &fetch, &response, times, &variants);
//! let Respond::Answer(answer) = &outcome.respond else { panic!() };
//! assert_eq!(answer.status, StatusCode::OK);
//! assert!(matches!(outcome.changes[..], [Change::Update { variant: 0, .. }]));
//! # Ok::<(), http::Error>(())
//! ```
//!
//! # Many requests for one thing
//!
//! A request that waits for another one's response is looked up again once that is stored. If it was not
//! stored ([`Outcome::refusal`]) each of them is for itself: the response may be for one of them only.
//!
//! # What it leaves to the caller
//!
//! - `Via`, the framing of messages, and the check that a message was complete;
//! - to look up keys in one spelling: what paths mean the same, only the origin knows;
//! - to let one request go on where many ask for the same (and to say so in `Cache-Status`);
//! - to transform nothing where [`Answer::no_transform`] is set.
//!
//! # What it does not do
//!
//! It stores responses to `GET` only: those to `HEAD` update what is stored, and a `POST` is never
//! answered from a cache. Trailers are not stored, and a response with several ranges is passed on but
//! not taken apart. A request with `If-Match` or `If-Unmodified-Since` is always forwarded, as these
//! are for the origin to test; so there is no 412 of the cache's own.

mod answer;
mod codec;
mod decision;
mod directives;
mod etag;
mod fields;
mod key;
mod lookup;
mod options;
mod policy;
mod range;
mod receive;
mod status;
mod stored;
mod targeted;
#[cfg(test)]
mod tests;
mod time;
mod vary;

pub use codec::DecodeError;
pub use decision::{
    Answer, Body, Change, Decision, Fetch, Multipart, Outcome, Request, Respond, Response, Source,
};
pub use directives::{
    Argument, Delta, Directive, Directives, MAX_CONTROL_BYTES, MAX_DIRECTIVES, Scope,
};
pub use key::Key;
pub use options::{Credentials, Options};
pub use policy::Times;
pub use range::{Content, MAX_SPANS, Span};
pub use status::{CACHE_STATUS, CacheStatus, Handling, Reason};
pub use stored::{Refusal, Stored};
pub use time::{MAX_DELTA, Timestamp};

/// The rules of a shared cache, under some [`Options`].
#[derive(Clone, Debug, Default)]
pub struct SharedCache {
    options: Options,
}

impl SharedCache {
    /// A cache that follows these options.
    pub fn new(options: Options) -> Self {
        Self { options }
    }

    /// The options it follows.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Says what to do with a request, given all responses that are stored for its key.
    ///
    /// The work is linear in the number of variants and in the size of the fields.
    pub fn lookup<'a>(
        &self,
        request: impl Into<Request<'a>>,
        variants: &[Stored],
        now: Timestamp,
    ) -> Decision {
        lookup::decide(&self.options, request.into(), variants, now)
    }

    /// Says what to do with the response to a [`Fetch`], given what is stored now, which may be other
    /// than it was when the request was looked up.
    ///
    /// For a fetch from [`Decision::ServeStale`] only the changes matter.
    pub fn on_response<'a>(
        &self,
        request: impl Into<Request<'a>>,
        fetch: &Fetch,
        response: impl Into<Response<'a>>,
        times: Times,
        variants: &[Stored],
    ) -> Outcome {
        let (request, response) = (request.into(), response.into());
        receive::Receipt::new(&self.options, request, fetch, response, times, variants).decide()
    }

    /// The answer when a [`Fetch`] got no response: a stale one where that is allowed, else a 504
    /// (RFC 9111, 4.2.4 and 5.2.2.2; RFC 5861, 4).
    pub fn on_failure<'a>(
        &self,
        request: impl Into<Request<'a>>,
        fetch: &Fetch,
        variants: &[Stored],
        now: Timestamp,
    ) -> Answer {
        receive::on_failure(&self.options, request.into(), fetch, now, variants)
    }

    /// Writes all stored responses of a key as one value, for stores that have one value for each key.
    pub fn encode_variants(&self, variants: &[Stored]) -> Vec<u8> {
        codec::encode_variants(variants)
    }

    /// Takes back what [`SharedCache::encode_variants`] wrote, as [`SharedCache::decode`] does.
    pub fn decode_variants(&self, bytes: &[u8]) -> Result<Vec<Stored>, DecodeError> {
        codec::decode_variants(bytes, &self.options)
    }

    /// Takes back what [`Stored::encode`] wrote. What it says about its freshness is read anew, under
    /// the options of this cache.
    pub fn decode(&self, bytes: &[u8]) -> Result<Stored, DecodeError> {
        Stored::decode(bytes, &self.options)
    }
}
