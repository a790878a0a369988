//! What the tests share: a cache with what it has stored, and an origin that says what a test wants.

mod conditions;
mod control;
mod freshness;
mod fuzz;
mod invalidation;
mod parsing;
mod properties;
mod ranges;
mod requirements;
mod stale;
mod status;
mod storing;
mod targeted;
mod updating;
mod validation;
mod variants;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};

use crate::{
    Answer, Change, Decision, Fetch, Options, Outcome, Reason, Respond, SharedCache, Stored, Times,
    Timestamp,
};

/// Sun, 09 Sep 2001 01:46:40 GMT
const START: i64 = 1_000_000_000;
/// The length of every body that comes.
const LENGTH: u64 = 10;

type Fields<'a> = &'a [(&'a str, &'a str)];

/// An HTTP-date so many seconds after the start.
fn date(seconds: i64) -> String {
    at(seconds).format()
}

/// The point so many seconds after the start.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(START + seconds)
}

fn fields(list: Fields<'_>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in list {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        map.append(
            name,
            HeaderValue::from_bytes(value.as_bytes()).expect("a value"),
        );
    }
    map
}

fn get(list: Fields<'_>) -> Request<()> {
    with_method(Method::GET, list)
}

fn with_method(method: Method, list: Fields<'_>) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = "https://example.org/a/b?c".parse().expect("a URI");
    *request.headers_mut() = fields(list);
    request
}

fn response(status: u16, list: Fields<'_>) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    *response.headers_mut() = fields(list);
    response
}

/// A cache, what it has stored for one key, and the time in seconds after the start.
struct Rig {
    cache: SharedCache,
    variants: Vec<Stored>,
    now: i64,
}

impl Rig {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        Self {
            cache: SharedCache::new(options),
            variants: Vec::new(),
            now: 0,
        }
    }

    /// One that has stored a response with these fields, dated now.
    fn stored(list: Fields<'_>) -> Self {
        let mut rig = Self::new();
        rig.fill(&get(&[]), 200, list);
        assert_eq!(rig.variants.len(), 1, "it is stored: {list:?}");
        rig
    }

    fn later(&mut self, seconds: i64) -> &mut Self {
        self.now += seconds;
        self
    }

    fn look(&self, request: &Request<()>) -> Decision {
        self.cache.lookup(request, &self.variants, at(self.now))
    }

    fn get(&self, list: Fields<'_>) -> Decision {
        self.look(&get(list))
    }

    /// What the origin would be asked.
    fn fetch(&self, request: &Request<()>) -> Fetch {
        match self.look(request) {
            Decision::Forward(fetch)
            | Decision::Validate(fetch)
            | Decision::ServeStale {
                revalidate: fetch, ..
            } => fetch,
            other => panic!("nothing is fetched: {other:?}"),
        }
    }

    /// What comes of a response at once.
    fn receive(&self, request: &Request<()>, status: u16, list: Fields<'_>) -> Outcome {
        let fetch = self.fetch(request);
        self.receive_for(request, &fetch, status, list)
    }

    fn receive_for(
        &self,
        request: &Request<()>,
        fetch: &Fetch,
        status: u16,
        list: Fields<'_>,
    ) -> Outcome {
        let times = Times {
            request: at(self.now),
            response: at(self.now),
        };
        let response = response(status, list);
        self.cache
            .on_response(request, fetch, &response, times, &self.variants)
    }

    /// Carries out what comes of a response, whose body is complete.
    fn fill(&mut self, request: &Request<()>, status: u16, list: Fields<'_>) -> Outcome {
        let outcome = self.receive(request, status, list);
        self.apply(&outcome);
        outcome
    }

    fn apply(&mut self, outcome: &Outcome) {
        outcome.apply(&mut self.variants);
        if outcome
            .changes
            .iter()
            .any(|change| matches!(change, Change::Insert(_)))
        {
            let stored = self.variants.pop().expect("it was inserted");
            if stored.content().is_whole() {
                let length = stored.content().length().unwrap_or(LENGTH);
                self.variants.extend(stored.complete(length));
            } else {
                self.variants.push(stored);
            }
        }
    }

    /// Whether a response with these fields is stored.
    fn stores(request: Fields<'_>, status: u16, list: Fields<'_>) -> bool {
        Self::stores_with(Options::default(), request, status, list)
    }

    fn stores_with(options: Options, request: Fields<'_>, status: u16, list: Fields<'_>) -> bool {
        let outcome = Self::with(options).receive(&get(request), status, list);
        let inserted = outcome
            .changes
            .iter()
            .any(|change| matches!(change, Change::Insert(_)));
        assert_eq!(
            inserted,
            outcome.refusal.is_none(),
            "a reason if and only if it is not stored"
        );
        inserted
    }
}

/// The answer, if the cache gives one by itself.
fn served(decision: Decision) -> Answer {
    match decision {
        Decision::Serve(answer) => answer,
        other => panic!("not served: {other:?}"),
    }
}

fn is_hit(decision: &Decision) -> bool {
    matches!(decision, Decision::Serve(_))
}

/// The conditional request that is sent.
fn validation(decision: Decision) -> Fetch {
    match decision {
        Decision::Validate(fetch) => fetch,
        other => panic!("not validated: {other:?}"),
    }
}

fn forwarded(decision: &Decision) -> Option<Reason> {
    match decision {
        Decision::Forward(fetch) => Some(fetch.reason),
        _ => None,
    }
}

/// The answer that is given in the place of what came.
fn answer(outcome: &Outcome) -> &Answer {
    match &outcome.respond {
        Respond::Answer(answer) => answer,
        other => panic!("no answer: {other:?}"),
    }
}

/// The fields of the response that goes on.
fn upstream(outcome: &Outcome) -> &HeaderMap {
    match &outcome.respond {
        Respond::Upstream { headers, .. } => headers,
        other => panic!("not the origin's: {other:?}"),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().expect("text"))
}

/// A body of so many bytes, each of them telling its place.
fn body(length: u64) -> Bytes {
    (0..length)
        .map(|place| u8::try_from(place % 251).unwrap_or(0))
        .collect()
}
