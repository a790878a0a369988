//! A fuzzer that needs nothing but a stable compiler: it plays random exchanges, made of what matters to
//! caches and damaged here and there, against one cache, and checks what must hold after each step.
//!
//! ```sh
//! PITCHEY_FUZZ_SECONDS=3600 cargo test -p pitchey-http-cache --lib -- --nocapture fuzz
//! PITCHEY_FUZZ_SEED=123 PITCHEY_FUZZ_STEPS=4 cargo test -p pitchey-http-cache --lib -- --nocapture fuzz
//! ```
//!
//! A run is a function of its seed and the number of its steps. When one fails, the least number of
//! steps that still fails is looked for, and both are printed.

mod random;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use http::Method;

use super::*;
use crate::directives::Scope;
use crate::{Body, Content, Directives, Source, Span};
use random::Random;

/// How many steps a run has.
const STEPS: u32 = 12;

/// No body has more bytes, whatever the fields say.
const LONGEST: u64 = 1000;

/// The cache, and the bodies of what it has stored, each of which has its place as its locator.
struct World {
    cache: SharedCache,
    variants: Vec<Stored>,
    bodies: Vec<Bytes>,
    now: Timestamp,
}

fn run(seed: u64, steps: u32) {
    let mut random = Random::new(seed);
    let cache = SharedCache::new(random.options());
    let mut world = World {
        cache,
        variants: Vec::new(),
        bodies: vec![Bytes::new()],
        now: at(0),
    };
    for _ in 0..steps {
        world.step(&mut random);
    }
}

impl World {
    fn step(&mut self, random: &mut Random) {
        let wait = random.seconds();
        let later = self.now.as_unix().saturating_add(wait);
        self.now = Timestamp::from_unix(if later.abs_diff(START) > 1_000_000 {
            START
        } else {
            later
        });
        let request = random.request();
        let decision = self.cache.lookup(&request, &self.variants, self.now);
        let fetch = match decision {
            Decision::Serve(answer) => {
                self.check_answer(&request, &answer, true);
                return;
            }
            Decision::Unsatisfied(answer) => {
                assert_eq!((answer.status.as_u16(), answer.source), (504, Source::Made));
                return;
            }
            Decision::ServeStale { answer, revalidate } => {
                self.check_answer(&request, &answer, true);
                revalidate
            }
            Decision::Validate(fetch) => {
                assert!(fetch.is_conditional());
                fetch
            }
            Decision::Forward(fetch) => fetch,
        };
        // Meanwhile another request may have changed what is stored.
        if random.one_in(10) && !self.variants.is_empty() {
            self.variants.pop();
        }
        if random.one_in(12) {
            let answer = self
                .cache
                .on_failure(&request, &fetch, &self.variants, self.now);
            self.check_answer(&request, &answer, false);
            return;
        }
        let (status, headers) = random.response();
        let mut response = response(status, &[]);
        *response.headers_mut() = headers;
        let sent = self.now;
        self.now = Timestamp::from_unix(self.now.as_unix() + random.seconds().clamp(-5, 5));
        let times = Times {
            request: sent,
            response: self.now,
        };
        let outcome = self
            .cache
            .on_response(&request, &fetch, &response, times, &self.variants);
        if let Respond::Answer(answer) = &outcome.respond
            && answer.source != Source::Received
        {
            self.check_answer(&request, answer, false);
        }
        if request.method() == Method::GET || request.method() == Method::HEAD {
            assert!(outcome.invalidate.is_empty());
        }
        self.apply(&outcome, &fetch, &response, random);
        self.check_stored();
    }

    fn check_answer(&self, request: &http::Request<()>, answer: &Answer, decided: bool) {
        let Source::Stored(place) = answer.source else {
            return;
        };
        let stored = &self.variants[place];
        let bytes = &self.bodies[usize::try_from(stored.locator).expect("a place")];
        let sent = answer
            .body
            .assemble(stored.content(), bytes)
            .expect("the bytes are stored");
        let reads_body = request.method() == Method::GET && answer.status != 304;
        if reads_body && stored.status() != 204 {
            assert_eq!(
                text(&answer.headers, "content-length"),
                sent.len().to_string()
            );
        }
        match &answer.body {
            Body::Span(span) => assert_eq!(sent, piece(*span)),
            Body::Whole => assert_eq!(Some(sent.len() as u64), stored.content().length()),
            _ => {}
        }
        assert_eq!(answer.headers.get_all("age").iter().count(), 1);
        if decided {
            let control = Directives::of(request.headers());
            let stale = stored.ttl(self.now) <= 0;
            let window = i64::try_from(stored.policy.stale_while_revalidate).expect("small");
            assert!(!stored.must_validate(), "served without validation");
            assert!(
                !stale || control.has("max-stale") || -stored.ttl(self.now) < window,
                "served stale without leave"
            );
            assert!(
                !stale || !stored.policy.forbids_stale,
                "served stale against its will"
            );
        }
    }

    fn check_stored(&self) {
        let options = self.cache.options();
        assert!(self.variants.len() <= options.max_variants);
        for stored in &self.variants {
            let bytes = stored.encode();
            assert_eq!(self.cache.decode(&bytes).as_ref(), Ok(stored));
            let policy = &stored.policy;
            assert!(
                !policy.no_store || policy.must_understand,
                "no-store is stored"
            );
            assert!(policy.private != Scope::Whole, "private is stored");
            assert!(
                !stored.authorized || policy.shareable,
                "credentials are stored"
            );
            assert!(options.store_set_cookie || !stored.headers().contains_key("set-cookie"));
            for name in [
                "connection",
                "transfer-encoding",
                "content-range",
                "content-length",
            ] {
                assert!(!stored.headers().contains_key(name), "{name} is stored");
            }
            let body = &self.bodies[usize::try_from(stored.locator).expect("a place")];
            let there = match stored.content() {
                Content::Whole { length } => length.expect("it is complete"),
                Content::Part { spans, .. } => spans.iter().map(|span| span.length()).sum(),
            };
            assert_eq!(body.len() as u64, there);
        }
    }

    /// Carries out the changes, with bodies in which each byte tells its place.
    fn apply(
        &mut self,
        outcome: &Outcome,
        fetch: &Fetch,
        response: &Response<()>,
        random: &mut Random,
    ) {
        let mut variants = self.variants.clone();
        outcome.apply(&mut variants);
        for change in &outcome.changes {
            match change {
                Change::Splice {
                    variant,
                    stored,
                    span,
                } => {
                    let old = &self.variants[*variant];
                    if span.length() > LONGEST {
                        // Its body breaks off.
                        old.clone_into(&mut variants[*variant]);
                        continue;
                    }
                    let place = usize::try_from(old.locator).expect("a place");
                    let spliced = old.content().splice(
                        &self.bodies[place],
                        *span,
                        stored.content().length(),
                        &piece(*span),
                    );
                    let (content, bytes) = spliced.expect("it was said to fit");
                    assert_eq!(&content, stored.content());
                    self.bodies[place] = bytes;
                }
                Change::Insert(stored) => {
                    assert_eq!(fetch.method, Method::GET);
                    assert!(response.status() != 304);
                    variants.pop();
                    let (start, whole) = match stored.content() {
                        Content::Whole { length } => (0, length.unwrap_or(400).min(LONGEST)),
                        Content::Part { spans, .. } => {
                            (spans[0].start, spans[0].length().min(LONGEST))
                        }
                    };
                    let came = if random.one_in(4) {
                        random.below(whole + 1)
                    } else {
                        whole
                    };
                    let new = if came == whole || random.one_in(2) {
                        stored.as_ref().clone().complete(came)
                    } else {
                        stored.as_ref().clone().truncated(came)
                    };
                    if let Some(mut new) = new {
                        new.locator = self.bodies.len() as u64;
                        self.bodies.push(piece(Span {
                            start,
                            end: start + came,
                        }));
                        variants.push(new);
                    }
                }
                Change::Update { .. } | Change::Remove { .. } => {}
            }
        }
        self.variants = variants;
    }
}

/// The bytes of a span, each of which tells its place.
fn piece(span: Span) -> Bytes {
    (span.start..span.end)
        .map(|place| u8::try_from(place % 251).unwrap_or(0))
        .collect()
}

/// The least number of steps with which a seed fails, if it does.
fn failing(seed: u64) -> Option<u32> {
    let fails = |steps| catch_unwind(AssertUnwindSafe(|| run(seed, steps))).is_err();
    fails(STEPS).then(|| (1..=STEPS).find(|steps| fails(*steps)).unwrap_or(STEPS))
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn random_exchanges_keep_the_invariants() {
    if let Some(seed) = setting("PITCHEY_FUZZ_SEED") {
        let steps = setting("PITCHEY_FUZZ_STEPS").and_then(|steps| steps.try_into().ok());
        run(seed, steps.unwrap_or(STEPS));
        println!("seed {seed} holds");
        return;
    }
    let (first, seeds) = match setting("PITCHEY_FUZZ_SECONDS") {
        Some(seconds) => fuzz(Duration::from_secs(seconds)),
        None => (0, check(0, 3_000)),
    };
    let last = first.wrapping_add(seeds);
    println!("{seeds} runs of {STEPS} steps each without a finding, seeds {first} to {last}");
}

/// Runs seeds that no run before had, for so long. Gives back the first and how many there were.
#[expect(
    clippy::disallowed_methods,
    reason = "a fuzzer is told by the clock when to stop"
)]
fn fuzz(length: Duration) -> (u64, u64) {
    let started = Instant::now();
    let age = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    let first = age.as_secs() << 32;
    let mut seeds = 0;
    while started.elapsed() < length {
        seeds += check(first.wrapping_add(seeds), 1_000);
    }
    (first, seeds)
}

fn check(first: u64, count: u64) -> u64 {
    for seed in (0..count).map(|place| first.wrapping_add(place)) {
        if let Some(steps) = failing(seed) {
            panic!("PITCHEY_FUZZ_SEED={seed} PITCHEY_FUZZ_STEPS={steps} fails");
        }
    }
    count
}
