//! A read whose answer may be kept: from memory, else from the origin, under what the origin says it has
//! seen.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::BodyDataStream;
use pitchey_api::ResponseKind;
use pitchey_api::edge::{
    AGE_MS, APPLIED, KEY, Kept, STAMP, coding, coding_made_here, read_as_of, read_heard, read_tags,
    write_as_of,
};
use pitchey_cache::{AsOf, GetError, Kind, Loaded, Memory, Node, Policy, Shared, Vintage};

use super::beyond::Beyond;
use super::near::Near;
use super::page::{Failure, Page};
use super::{Inner, X_REQUEST_ID, has_changed_something, policy, told};
use crate::body::Body;
use crate::fields::{self, Introduction};
use crate::platform::{FetchError, Platform};
use crate::proxy::refusal;

/// The policies of the kinds, in the order of [`ResponseKind::ALL`]: fresh, stale while it is renewed, stale
/// when the origin fails. What changes is invalidated, so the times are those of all tiers together.
pub(super) fn policies(patience: Duration) -> Vec<(&'static str, Policy)> {
    let times = |kind| match kind {
        ResponseKind::PitchDetail => [1800, 60, 3600],
        ResponseKind::PitchList => [300, 60, 3600],
        ResponseKind::Search => [300, 30, 600],
        ResponseKind::UserProfile => [3600, 300, 3600],
    };
    let kinds = ResponseKind::ALL.into_iter();
    kinds
        .map(|kind| (kind.name(), policy(times(kind), patience)))
        .collect()
}

/// The same for an edge that hears nothing: whatever is kept is renewed behind an answer before it may not
/// be served any more, and nobody waits for another.
pub(super) fn unheard_policies(bound: Duration, patience: Duration) -> Vec<(&'static str, Policy)> {
    let mut unheard = policies(patience);
    for (_, policy) in &mut unheard {
        policy.coalesces = false;
        policy.fresh = policy.fresh.min(bound * 4 / 5);
        policy.memory = policy.fresh;
        policy.negative = policy.negative.min(policy.fresh);
        policy.stale_while_revalidate = policy.stale_while_revalidate.min(bound / 5);
    }
    unheard
}

/// Whether it does no harm if an answer of a kind is a minute old where nothing better is at hand. A pitch itself is
/// where people look for what they have just agreed on.
fn bears_a_minute(kind: ResponseKind) -> bool {
    match kind {
        ResponseKind::PitchDetail => false,
        ResponseKind::PitchList | ResponseKind::Search | ResponseKind::UserProfile => true,
    }
}

fn place(kind: ResponseKind) -> Kind {
    let mut all = ResponseKind::ALL.into_iter();
    Kind(all.position(|one| one == kind).unwrap_or_default())
}

impl<P: Platform, M: Memory<Page>, S: Shared> Inner<P, M, S> {
    pub(super) async fn read(
        &self,
        method: &Method,
        asked: &HeaderMap,
        kept: Kept,
        introduction: Introduction,
        near: Option<Near>,
        id: &HeaderValue,
    ) -> Response<Body<P>> {
        let coding = match &near {
            Some(_) => coding_made_here(asked),
            None => coding(asked),
        };
        let kept_kind = kept.kind;
        let kind = place(kept_kind);
        // What is coded otherwise is another answer.
        let key = [kept.kind.name(), ":", &kept.target, "|", coding].concat();
        let mut own = None;
        let mut looked = None;
        // What hears nothing cannot know whether it keeps what is older than that change.
        let asks_anew = !self.hears && has_changed_something(asked);
        let kept_here = if asks_anew {
            None
        } else {
            self.answers.hit(kind, &key)
        };
        let outcome = match kept_here {
            Some(answer) => Ok(answer),
            None => {
                let Some(target) = self.target(&kept.target) else {
                    return refusal(StatusCode::BAD_REQUEST, "This is no address.");
                };
                let source = Origin {
                    platform: self.platform.clone(),
                    node: self.node.clone(),
                    hears: self.hears,
                    secret: self.settings.secret.clone(),
                    largest_body: self.settings.largest_body,
                    introduction,
                    id: id.clone(),
                    coding,
                    target,
                    kept,
                    near,
                };
                // What another's load has seen need not be what this one has changed.
                let sees_own = source.near.as_ref().is_some_and(Near::demands);
                if asks_anew || sees_own {
                    return self.ask_anew(method, asked, source).await;
                }
                let asks_for_itself = source.clone();
                let source = Beyond {
                    origin: source,
                    tier: self.tier.clone(),
                    pages: self.pages.clone().filter(|_| bears_a_minute(kept_kind)),
                    policy: self.whole[kind.0].1.clone(),
                    key: key.as_str().into(),
                };
                let began = self.platform.now();
                let outcome = Box::pin(self.answers.get_missed(kind, &key, source)).await;
                looked = Some(self.platform.now().since(began));
                if refuses_another(&outcome, id) {
                    own = Some(Box::pin(asks_for_itself.ask()).await);
                }
                outcome
            }
        };
        let outcome = match own {
            None => outcome,
            Some(Ok(loaded)) => {
                let tell = |headers: &mut HeaderMap| {
                    told::passed(headers, &loaded.value);
                    told::missed(headers, &self.settings.name);
                };
                return sent(loaded.value.answer(method, asked), tell);
            }
            Some(Err(failure)) => Err(GetError::Load(failure)),
        };
        let name = &self.settings.name;
        let page = match &outcome {
            Ok(answer) => answer.value(),
            Err(GetError::Load(Failure::Answered { page, .. })) => page,
            Err(error) => {
                let mut response = unanswered(error);
                told::missed(response.headers_mut(), name);
                return response;
            }
        };
        let tell = |headers: &mut HeaderMap| match &outcome {
            Ok(answer) => {
                told::kept(headers, name, answer, self.platform.now());
                told::looked(headers, answer, looked);
            }
            Err(_) => told::missed(headers, name),
        };
        let mut response = sent(page.answer(method, asked), tell);
        if let Ok(answer) = &outcome
            && !response.body().is_end_stream()
        {
            *response.body_mut() = Body::Kept(Some(answer.entry.clone()));
        }
        response
    }

    /// An answer of the origin to this request alone, whatever is kept.
    async fn ask_anew(
        &self,
        method: &Method,
        asked: &HeaderMap,
        source: Origin<P>,
    ) -> Response<Body<P>> {
        let name = &self.settings.name;
        let page = match Box::pin(source.give()).await {
            Ok(loaded) => loaded.value,
            Err(Failure::Answered { page, .. }) => *page,
            Err(failure) => {
                let mut response = unanswered(&GetError::Load(failure));
                told::unasked(response.headers_mut(), name);
                return response;
            }
        };
        let tell = |headers: &mut HeaderMap| {
            told::passed(headers, &page);
            told::asked_anew(headers, name, &page);
        };
        sent(page.answer(method, asked), tell)
    }
}

/// What a page says to one who asks, with what is told about it.
fn sent<P: Platform>(
    (status, mut headers, body): (StatusCode, HeaderMap, Bytes),
    tell: impl FnOnce(&mut HeaderMap),
) -> Response<Body<P>> {
    tell(&mut headers);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Whether this is what the origin said to another client about that client: it asks too often. Many may
/// wait for one answer, and that one says nothing to the others.
fn refuses_another<T>(outcome: &Result<T, GetError<Failure>>, id: &HeaderValue) -> bool {
    matches!(outcome, Err(GetError::Load(Failure::Answered { page, to }))
        if page.status == StatusCode::TOO_MANY_REQUESTS && to != id)
}

fn unanswered<P: Platform>(error: &GetError<Failure>) -> Response<Body<P>> {
    match error {
        GetError::Timeout | GetError::Load(Failure::Silent { timeout: true }) => {
            let text = "The origin did not answer in time.";
            refusal(StatusCode::GATEWAY_TIMEOUT, text)
        }
        _ => refusal(StatusCode::BAD_GATEWAY, "The origin cannot be reached."),
    }
}

/// The origin, as the source of one page.
#[derive(Clone)]
pub(super) struct Origin<P> {
    pub(super) platform: P,
    pub(super) node: Arc<Node>,
    hears: bool,
    pub(super) secret: HeaderValue,
    pub(super) largest_body: u64,
    introduction: Introduction,
    pub(super) id: HeaderValue,
    pub(super) coding: &'static str,
    pub(super) target: Uri,
    pub(super) kept: Kept,
    /// The databases that are asked before it.
    pub(super) near: Option<Near>,
}

impl<P: Platform> Origin<P> {
    /// Its answer, as this edge goes by it.
    pub(super) async fn ask(&self) -> Result<Loaded<Page>, Failure> {
        let loaded = self.ask_as_of(self.known()).await?;
        Ok(self.valid_when_asked(loaded))
    }

    /// What this node has heard of.
    pub(super) fn known(&self) -> Option<AsOf> {
        self.node.known(self.platform.now())
    }

    /// For an edge that hears nothing, what the origin vouches for was valid when it was asked for, which is
    /// all that it goes by.
    pub(super) fn valid_when_asked(&self, mut loaded: Loaded<Page>) -> Loaded<Page> {
        if !self.hears && matches!(loaded.vintage, Vintage::Until { .. }) {
            loaded.vintage = Vintage::Present;
        }
        loaded
    }

    /// Its answer, in which all that is known must be.
    pub(super) async fn ask_as_of(&self, known: Option<AsOf>) -> Result<Loaded<Page>, Failure> {
        let began = self.platform.now();
        let mut request = Request::new(P::Upload::default());
        *request.uri_mut() = self.target.clone();
        let headers = request.headers_mut();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(self.coding));
        headers.insert(KEY, self.secret.clone());
        headers.insert(X_REQUEST_ID, self.id.clone());
        if let Some(known) = known {
            headers.insert(APPLIED, write_as_of(known));
        }
        self.introduction.tell(headers);
        let response = self.platform.fetch(request).await;
        let response = response.map_err(|error| silent(&error))?;
        let (mut parts, download) = response.into_parts();
        let mut body = BytesMut::new();
        let mut pieces = BodyDataStream::new(download);
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| Failure::Silent { timeout: false })?;
            body.extend_from_slice(&piece);
            if u64::try_from(body.len()).unwrap_or(u64::MAX) > self.largest_body {
                return Err(Failure::Silent { timeout: false });
            }
        }
        let (vintage, tags) = vintage(parts.status, &parts.headers);
        let lately = self.near.as_ref().and_then(|near| near.lately.as_ref());
        if let Some((lately, heard)) = lately.zip(read_heard(&parts.headers)) {
            lately.note(heard, began);
        }
        fields::end_to_end(&mut parts.headers);
        fields::strip_own(&mut parts.headers);
        let mut page = Page::new(parts.status, parts.headers, body.freeze());
        page.exchange.took = Some(self.platform.now().since(began));
        if parts.status.is_server_error() || parts.status == StatusCode::TOO_MANY_REQUESTS {
            let to = self.id.clone();
            let page = Box::new(page);
            return Err(Failure::Answered { page, to });
        }
        Ok(Loaded {
            value: page,
            absent: false,
            tags,
            vintage,
        })
    }
}

fn silent(error: &FetchError) -> Failure {
    Failure::Silent {
        timeout: matches!(error, FetchError::Timeout),
    }
}

/// What an answer has seen, and what it is made of. One of which the origin does not say both is for those
/// who asked, and not kept.
fn vintage(status: StatusCode, headers: &HeaderMap) -> (Vintage, Vec<Box<str>>) {
    let age = || headers.get(AGE_MS)?.to_str().ok()?.parse().ok();
    let told = || Some((read_as_of(headers, &STAMP)?, age()?, read_tags(headers)?));
    match told() {
        Some((as_of, age, tags)) if status == StatusCode::OK && !Page::is_private(headers) => {
            let age = Duration::from_millis(age);
            (Vintage::Until { as_of, age }, tags)
        }
        _ => (Vintage::Unknown, Vec::new()),
    }
}
