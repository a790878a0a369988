//! A caching reverse proxy for any site, by the rules of HTTP alone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use pitchey_http_cache::{
    Answer, Body as Which, Decision, Fetch, Handling, Options, Reason, Request as Asked,
    SharedCache, Source, Timestamp,
};
use pitchey_runtime::timeout;

use crate::body::Body;
use crate::coding::{self, Coded, Encode};
use crate::desk::{self, Purge, Purged, Unpurged, Warm, Warmed};
use crate::fields::{self, Client, Introduction};
use crate::flights::{Flights, Landed, Leader, Role};
use crate::platform::{FetchError, Platform, Store as _};
use crate::purges::{Purges, Scope};
use crate::slot::Slot;

/// How often a request waits for another's response before it goes on alone.
const WAITS: u32 = 2;

/// What a proxy is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The origin: scheme and authority. Its authority is the host of every request to it.
    pub origin: Uri,
    /// The name of this cache in `Cache-Status`.
    pub name: String,
    /// The rules of the cache.
    pub options: Options,
    /// How long a request waits for what another one fetches, before it goes on alone.
    pub patience: Duration,
    /// What codes what is kept for clients that take it, if anything does.
    pub encode: Option<Encode>,
}

/// A caching reverse proxy. Cheap to clone.
pub struct Proxy<P: Platform> {
    pub(crate) inner: Arc<Inner<P>>,
}

pub(crate) struct Inner<P: Platform> {
    pub(crate) platform: P,
    pub(crate) cache: SharedCache,
    pub(crate) flights: Arc<Flights>,
    pub(crate) purges: Purges,
    pub(crate) settings: Settings,
}

impl<P: Platform> Clone for Proxy<P> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

/// What is known when the origin is asked.
#[derive(Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) at: Timestamp,
    /// The newest purge: a later one is not undone by what is asked for now.
    pub(crate) purge: u64,
}

/// A request that goes on towards the origin.
pub(crate) struct Exchange {
    pub(crate) method: Method,
    /// Absolute, at the origin.
    pub(crate) target: Uri,
    /// As the client sent them, without what must not steer anything.
    pub(crate) headers: HeaderMap,
    introduction: Introduction,
}

impl Exchange {
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked {
            method: &self.method,
            uri: &self.target,
            headers: &self.headers,
        }
    }

    /// What it is stored by.
    pub(crate) fn key(&self) -> &str {
        self.target
            .path_and_query()
            .map_or("/", PathAndQuery::as_str)
    }
}

impl<P: Platform> Proxy<P> {
    /// A proxy on this platform.
    pub fn new(platform: P, settings: Settings) -> Self {
        Self {
            inner: Arc::new(Inner {
                platform,
                cache: SharedCache::new(settings.options.clone()),
                flights: Flights::new(),
                purges: Purges::default(),
                settings,
            }),
        }
    }

    /// What it runs on.
    pub fn platform(&self) -> &P {
        &self.inner.platform
    }

    /// How many requests are on their way to the origin that others may wait for.
    pub fn in_flight(&self) -> usize {
        self.inner.flights.len()
    }

    /// Forgets what is kept for addresses. Once this has ended, nothing is stored for them that was fetched
    /// before it began.
    pub async fn purge(&self, purge: &Purge) -> Result<Purged, Unpurged> {
        let Inner {
            purges, platform, ..
        } = &*self.inner;
        if !purge.tags.is_empty() {
            let text = "tags: nothing has any, in front of any site";
            return Err(Unpurged::Wrong(vec![text.to_owned()]));
        }
        for prefix in &purge.prefixes {
            purges.note(Scope::Prefix(prefix.clone()));
            if !platform.store().remove_prefix(prefix).await {
                return Err(Unpurged::Prefixes);
            }
        }
        for (done, key) in purge.keys.iter().enumerate() {
            purges.note(Scope::Key(key.clone()));
            if !platform.store().remove(key).await {
                return Err(Unpurged::Unacknowledged {
                    done: Purged {
                        tags: 0,
                        keys: done,
                        prefixes: purge.prefixes.len(),
                    },
                    why: "what several edges share did not answer".to_owned(),
                });
            }
        }
        Ok(Purged {
            tags: 0,
            keys: purge.keys.len(),
            prefixes: purge.prefixes.len(),
        })
    }

    /// Asks for these paths as this client would.
    pub async fn warm(&self, warm: &Warm, client: Client) -> Vec<Warmed> {
        let ask = |request| self.handle(request, client);
        desk::warm(&self.inner.platform, warm, ask).await
    }

    /// Answers a request.
    pub async fn handle(&self, request: Request<P::Upload>, client: Client) -> Response<Body<P>> {
        let (mut parts, upload) = request.into_parts();
        let key = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        if parts.method == Method::CONNECT || !key.starts_with('/') {
            return refusal(StatusCode::BAD_REQUEST, "This is no address here.");
        }
        let chain = fields::strip(&mut parts.headers);
        let inner = &self.inner;
        let (fetch, slot) = if matches!(parts.method, Method::GET | Method::HEAD) {
            let slot = inner.platform.store().get(key).await;
            let decision = inner.cache.lookup(
                asked(&parts),
                slot.as_deref().map_or(&[], Slot::variants),
                inner.now(),
            );
            match decision {
                Decision::Serve(answer) | Decision::Unsatisfied(answer) => {
                    return inner.answer(answer, asked(&parts), slot.as_deref(), None);
                }
                Decision::ServeStale { answer, revalidate } => {
                    let slot = slot.as_deref();
                    let response = inner.answer(answer, asked(&parts), slot, None);
                    if let Some(leader) = inner.flights.lead(key, inner.platform.now()) {
                        let exchange = inner.exchange(parts, client, chain);
                        inner.refresh(exchange, revalidate, leader);
                    }
                    return response;
                }
                Decision::Validate(fetch) | Decision::Forward(fetch) => (fetch, slot),
            }
        } else {
            let decision = inner.cache.lookup(asked(&parts), &[], inner.now());
            match decision {
                Decision::Forward(fetch) => (fetch, None),
                // There is nothing that it could be answered from.
                _ => return refusal(StatusCode::NOT_IMPLEMENTED, "This cannot be done."),
            }
        };
        let exchange = inner.exchange(parts, client, chain);
        // In a box, so that a hit does not carry the room for it about.
        Box::pin(inner.miss(exchange, upload, fetch, slot)).await
    }
}

fn asked(parts: &Parts) -> Asked<'_> {
    Asked {
        method: &parts.method,
        uri: &parts.uri,
        headers: &parts.headers,
    }
}

impl<P: Platform> Inner<P> {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.platform.wall().unix_timestamp())
    }

    fn exchange(&self, parts: Parts, client: Client, chain: Option<HeaderValue>) -> Exchange {
        let mut target = self.settings.origin.clone().into_parts();
        target.path_and_query = parts.uri.into_parts().path_and_query;
        Exchange {
            method: parts.method,
            // Both halves have been addresses already.
            target: Uri::from_parts(target).unwrap_or_default(),
            headers: parts.headers,
            introduction: Introduction {
                client,
                chain,
                version: parts.version,
            },
        }
    }

    /// An answer from what is stored, or one that the cache made.
    pub(crate) fn answer(
        &self,
        mut answer: Answer,
        asked: Asked<'_>,
        slot: Option<&Slot>,
        collapsed: Option<Reason>,
    ) -> Response<Body<P>> {
        if let Some(reason) = collapsed {
            answer.cache_status.handling = Handling::Forward {
                reason,
                status: None,
                stored: false,
                collapsed: true,
            };
        }
        let bytes = match answer.source {
            Source::Stored(variant) => slot.and_then(|slot| {
                let content = slot.variants().get(variant)?.content();
                let plain = slot.body(variant)?;
                let coded = slot.coded(variant);
                let coded = coded.and_then(|coded| self.code(coded, plain, asked, &mut answer));
                coded.or_else(|| answer.body.assemble(content, plain))
            }),
            Source::Received | Source::Made => Some(Bytes::new()),
        };
        let Some(bytes) = bytes else {
            return refusal(StatusCode::BAD_GATEWAY, "What is stored cannot be read.");
        };
        self.sent(answer, Body::from(bytes))
    }

    /// The body in a coding that the client takes, and the fields with it, if it may be coded.
    fn code(
        &self,
        coded: &Coded,
        plain: &Bytes,
        asked: Asked<'_>,
        answer: &mut Answer,
    ) -> Option<Bytes> {
        let encode = self.settings.encode.filter(|_| !answer.no_transform)?;
        match (answer.status, &answer.body) {
            (StatusCode::NOT_MODIFIED, _) => {
                coding::unchanged(asked.headers, &mut answer.headers);
                None
            }
            (StatusCode::OK, Which::Whole) => {
                coded.choose(plain, encode, asked.headers, &mut answer.headers)
            }
            (StatusCode::OK, Which::Empty) => {
                // As a GET would be answered.
                coded.choose(plain, encode, asked.headers, &mut answer.headers);
                None
            }
            _ => None,
        }
    }

    /// The answer with this body.
    pub(crate) fn sent(&self, answer: Answer, body: Body<P>) -> Response<Body<P>> {
        let mut response = Response::new(body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        let status = &answer.cache_status;
        status.append_to(&self.settings.name, response.headers_mut());
        response
    }

    /// Goes on to the origin, or waits for one who has.
    async fn miss(
        self: &Arc<Self>,
        exchange: Exchange,
        upload: P::Upload,
        mut fetch: Fetch,
        mut slot: Option<Arc<Slot>>,
    ) -> Response<Body<P>> {
        let mut leader = None;
        if P::COALESCES && may_wait(&exchange, &fetch) {
            for wait in 0..=WAITS {
                let told = match self.flights.enter(exchange.key(), self.platform.now()) {
                    Role::Lead(role) => {
                        // Another may have led, and landed, since it was looked up.
                        let now = self.platform.store().get(exchange.key()).await;
                        let variants = now.as_deref().map_or(&[][..], Slot::variants);
                        match self.cache.lookup(exchange.asked(), variants, self.now()) {
                            Decision::Serve(answer) | Decision::Unsatisfied(answer) => {
                                role.land(Landed::Stored);
                                let (asked, reason) = (exchange.asked(), Some(fetch.reason));
                                return self.answer(answer, asked, now.as_deref(), reason);
                            }
                            Decision::ServeStale { .. } => {}
                            Decision::Validate(next) | Decision::Forward(next) => {
                                (fetch, slot) = (next, now);
                            }
                        }
                        leader = Some(role);
                        break;
                    }
                    Role::Wait(told) if wait < WAITS => told,
                    Role::Wait(_) | Role::Alone => break,
                };
                let told = timeout(&self.platform, self.settings.patience, told).await;
                if told != Ok(Ok(Landed::Stored)) {
                    break;
                }
                slot = self.platform.store().get(exchange.key()).await;
                let variants = slot.as_deref().map_or(&[][..], Slot::variants);
                let decision = self.cache.lookup(exchange.asked(), variants, self.now());
                match decision {
                    Decision::Serve(answer)
                    | Decision::Unsatisfied(answer)
                    | Decision::ServeStale { answer, .. } => {
                        let (asked, reason) = (exchange.asked(), Some(fetch.reason));
                        return self.answer(answer, asked, slot.as_deref(), reason);
                    }
                    Decision::Validate(next) | Decision::Forward(next) => fetch = next,
                }
            }
        }
        self.fetch(&exchange, upload, fetch, slot, leader).await
    }

    fn refresh(self: &Arc<Self>, exchange: Exchange, fetch: Fetch, leader: Leader) {
        let inner = self.clone();
        self.platform.spawn(async move {
            let slot = inner.platform.store().get(exchange.key()).await;
            // Whatever it answers, nobody gets it; a body that is to be stored is read when this is dropped.
            drop(
                inner
                    .fetch(&exchange, P::Upload::default(), fetch, slot, Some(leader))
                    .await,
            );
        });
    }

    /// Asks the origin, and does with its response what is to be done.
    async fn fetch(
        self: &Arc<Self>,
        exchange: &Exchange,
        upload: P::Upload,
        fetch: Fetch,
        slot: Option<Arc<Slot>>,
        leader: Option<Leader>,
    ) -> Response<Body<P>> {
        let sent = self.sending();
        match self.send(exchange, &fetch, upload).await {
            Ok(response) => {
                let taken = self.take(exchange, fetch, response, sent, leader).await;
                match taken {
                    Ok(response) => response,
                    // It is unchanged, but what it was compared with is gone: once more, without conditions.
                    Err(again) => {
                        let sent = self.sending();
                        match self.send(exchange, &again, P::Upload::default()).await {
                            Ok(response) => self
                                .take(exchange, again, response, sent, None)
                                .await
                                .unwrap_or_else(|_| {
                                    let text = "The origin answered a question that was not asked.";
                                    refusal(StatusCode::BAD_GATEWAY, text)
                                }),
                            Err(error) => self.failed(exchange, &again, None, &error),
                        }
                    }
                }
            }
            Err(error) => self.failed(exchange, &fetch, slot.as_deref(), &error),
        }
    }

    fn sending(&self) -> Sent {
        Sent {
            at: self.now(),
            purge: self.purges.newest(),
        }
    }

    async fn send(
        &self,
        exchange: &Exchange,
        fetch: &Fetch,
        upload: P::Upload,
    ) -> Result<Response<P::Download>, FetchError> {
        let mut request = Request::new(upload);
        *request.method_mut() = fetch.method.clone();
        *request.uri_mut() = exchange.target.clone();
        let mut headers = fetch.headers.clone();
        fields::address_to(&self.settings.origin, &mut headers);
        exchange.introduction.tell(&mut headers);
        *request.headers_mut() = headers;
        self.platform.fetch(request).await
    }

    fn failed(
        &self,
        exchange: &Exchange,
        fetch: &Fetch,
        slot: Option<&Slot>,
        error: &FetchError,
    ) -> Response<Body<P>> {
        let variants = slot.map_or(&[][..], Slot::variants);
        let answer = self
            .cache
            .on_failure(exchange.asked(), fetch, variants, self.now());
        if answer.source != Source::Made {
            return self.answer(answer, exchange.asked(), slot, None);
        }
        match error {
            FetchError::Timeout => refusal(
                StatusCode::GATEWAY_TIMEOUT,
                "The origin did not answer in time.",
            ),
            FetchError::Upload(_) => refusal(
                StatusCode::BAD_REQUEST,
                "The body of the request did not come, or is too large.",
            ),
            FetchError::Failed(_) => {
                refusal(StatusCode::BAD_GATEWAY, "The origin cannot be reached.")
            }
        }
    }
}

/// Whether another's response may be an answer to this.
fn may_wait(exchange: &Exchange, fetch: &Fetch) -> bool {
    let misses = matches!(
        fetch.reason,
        Reason::UriMiss | Reason::VaryMiss | Reason::Miss | Reason::Stale
    );
    misses && exchange.method == Method::GET && !exchange.headers.contains_key(RANGE)
}

/// An answer of the edge's own: a problem document (RFC 9457).
pub fn refusal<P: Platform>(status: StatusCode, detail: &str) -> Response<Body<P>> {
    let title = status.canonical_reason().unwrap_or_default();
    let status_code = status.as_u16();
    let text = format!(
        "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status_code},\"detail\":\"{detail}\"}}"
    );
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/problem+json");
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    *response.body_mut() = Body::from(Bytes::from(text));
    response
}
