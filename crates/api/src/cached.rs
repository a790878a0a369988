//! Answers that anyone may read, from the cache: ready to be sent, under the tags of what they are made of.
//!
//! The layer `cached` stands between the handlers of the public reads and everything else. Its key is the
//! address in one spelling; what it keeps is the handler's answer, whatever coding a client asks for.
//! What must not be old for one who wrote is decided by invalidation: a handler names in `Tags` what its
//! answer is made of, and whatever changes any of it raises the tag before it is acknowledged.

use crate::edge::{FromEdge, Heard, is_far_enough, tell_edge};
use crate::finish::page_of;
use crate::page::{Page, Version};
use crate::problem::{Kind, Problem};
use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use pitchey_cache::{
    Answer, AsOf, GetError, Load, Loaded, Position, Source, State as Freshness, Value, Vintage,
};
use pitchey_model::event::Tag;
use pitchey_model::{Genre, PitchCard, PitchId, WalPosition};
use pitchey_runtime::Clock;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::ports::Boxed;

const X_CACHE_STATUS: HeaderName = HeaderName::from_static("x-cache-status");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The kinds of answers that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResponseKind {
    /// A pitch.
    PitchDetail,
    /// A list of pitches.
    PitchList,
    /// Finds.
    Search,
    /// A profile.
    UserProfile,
}

impl ResponseKind {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::PitchDetail,
        Self::PitchList,
        Self::Search,
        Self::UserProfile,
    ];

    /// Its name in keys, figures and the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PitchDetail => "pitch_detail",
            Self::PitchList => "pitch_list",
            Self::Search => "search",
            Self::UserProfile => "user_profile",
        }
    }
}

impl ResponseKind {
    /// The kinds of tags that a load may find as it goes.
    pub(crate) const fn discovers(self) -> &'static [&'static str] {
        match self {
            Self::UserProfile => &["user"],
            Self::PitchDetail => &["creator"],
            Self::PitchList | Self::Search => &["creator", "pitch"],
        }
    }
}

/// A route whose answers are kept.
#[derive(Debug)]
pub(crate) struct KeptRoute {
    pub(crate) route: &'static str,
    pub(crate) kind: ResponseKind,
    /// The names of its parameters in the query.
    pub(crate) query: &'static [&'static str],
}

/// The routes whose answers are kept. Those without a parameter in the path come first, as they are matched
/// first. What is in the query stands here once more for the edge, which does not carry the description of the
/// API; a test compares the two.
pub(crate) static KEPT: [KeptRoute; 7] = {
    use ResponseKind::{PitchDetail, PitchList, Search, UserProfile};
    const fn kept(
        route: &'static str,
        kind: ResponseKind,
        query: &'static [&'static str],
    ) -> KeptRoute {
        KeptRoute { route, kind, query }
    }
    const SHELF: &[&str] = &["genre", "format", "stage", "cursor", "limit", "fields"];
    [
        kept(
            "/api/pitches",
            PitchList,
            &[
                "genre", "creator", "sort", "format", "stage", "cursor", "limit", "fields",
            ],
        ),
        kept("/api/pitches/trending", PitchList, SHELF),
        kept("/api/pitches/new", PitchList, SHELF),
        kept(
            "/api/pitches/public",
            PitchList,
            &["format", "stage", "cursor", "limit", "fields"],
        ),
        kept(
            "/api/search",
            Search,
            &["q", "genre", "format", "cursor", "limit", "fields"],
        ),
        kept("/api/pitches/{id}", PitchDetail, &["fields"]),
        kept("/api/users/{username}", UserProfile, &["fields"]),
    ]
};

/// The route of a path, if its answers may be kept. It may be another route that looks like it, whose
/// answers are not: nothing is kept under their keys.
pub(crate) fn kept_route(path: &str) -> Option<&'static KeptRoute> {
    KEPT.iter().find(|kept| matches_route(kept.route, path))
}

/// Whether a path is one of a route, which has one parameter at its end or none.
pub(crate) fn matches_route(route: &str, path: &str) -> bool {
    match route.split_once('{') {
        None => path == route,
        Some((before, _)) => path
            .strip_prefix(before)
            .is_some_and(|value| !value.is_empty() && !value.contains('/')),
    }
}

/// A cached answer: a page, or that there is nothing.
#[derive(Debug)]
pub struct CachedResponse(pub(crate) Option<Arc<Page>>);

impl Value for CachedResponse {
    const SCHEMA: u16 = 1;

    fn encode(&self, bytes: &mut Vec<u8>) {
        let Some(page) = &self.0 else {
            return;
        };
        let short = |bytes: &mut Vec<u8>, text: &[u8]| {
            let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
            bytes.push(length);
            bytes.extend_from_slice(&text[..usize::from(length)]);
        };
        bytes.push(u8::from(page.version.is_some()));
        let version = page.version.map_or(0, |Version(version)| version);
        bytes.extend_from_slice(&version.to_le_bytes());
        short(bytes, page.hash.as_bytes());
        short(bytes, page.content_type.as_bytes());
        bytes.extend_from_slice(&page.body);
    }

    fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self(None));
        }
        let has_version = take(&mut bytes, 1)?[0];
        let version = i64::from_le_bytes(take(&mut bytes, 8)?[..].try_into().ok()?);
        let version = match has_version {
            0 => None,
            1 => Some(Version(version)),
            _ => return None,
        };
        let mut short = || {
            let length = take(&mut bytes, 1)?[0];
            take(&mut bytes, usize::from(length))
        };
        let hash = String::from_utf8(short()?.to_vec()).ok()?;
        let content_type = HeaderValue::from_bytes(&short()?).ok()?;
        let page = Page::of(version, content_type, hash.into(), bytes, true);
        Some(Self(Some(Arc::new(page))))
    }

    /// The body once more for the codings that clients will ask for, which are half of it together.
    fn weight(&self) -> usize {
        let page = |page: &Arc<Page>| 400 + page.body.len() + page.body.len() / 2;
        self.0.as_ref().map_or(0, page)
    }
}

fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (bytes.len() >= length).then(|| bytes.split_to(length))
}

/// Where answers are kept.
pub trait Responses: Send + Sync + 'static {
    /// The fresh answer in memory that nobody need refresh, if there is one.
    fn hit(&self, kind: ResponseKind, key: &str) -> Option<Answer<CachedResponse>>;

    /// The answer from wherever it is, else from its handler.
    fn get<'a>(
        &'a self,
        kind: ResponseKind,
        key: &'a str,
        handler: Handler,
    ) -> Boxed<'a, Result<Answer<CachedResponse>, GetError<Problem>>>;

    /// Loads an answer behind everything else, unless it is fresh; whether it is now.
    fn warm<'a>(&'a self, kind: ResponseKind, key: &'a str, handler: Handler) -> Boxed<'a, bool>;

    /// Somebody in front knows of an invalidation: nothing older is given from now on. `false` if it cannot
    /// be told here what is older. So it is where nothing is shared.
    fn heard_of(&self, _: AsOf) -> bool {
        false
    }

    /// What an answer has seen, if it can be told in numbers that others know.
    fn as_of(&self, _: &Answer<CachedResponse>) -> Option<AsOf> {
        None
    }

    /// What was heard here by now, if all that is known of was heard.
    fn heard(&self) -> Option<Heard> {
        None
    }

    /// The newest invalidation that is known here, in numbers that others know.
    fn newest(&self) -> Option<AsOf> {
        None
    }
}

/// Where sessions are kept, by the hash of their token.
pub trait SessionCache: Send + Sync + 'static {
    /// The session as it is now, from wherever that is known, else from `load`.
    fn session<'a>(
        &'a self,
        token: &'a pitchey_store::accounts::TokenHash,
        load: SessionLoad,
    ) -> Boxed<'a, Result<Option<pitchey_store::accounts::Session>, Problem>>;
}

/// Loads a session from the store.
pub type SessionLoad = Box<
    dyn Fn() -> Boxed<'static, Result<Option<pitchey_store::accounts::Session>, Problem>>
        + Send
        + Sync,
>;

/// What an answer is made of, beside what its address says: a handler puts it into its response.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tags(pub(crate) BTreeSet<Tag>);

impl Tags {
    /// What these cards show: pitches, and the names of their creators.
    pub(crate) fn of_cards<'a>(cards: impl Iterator<Item = &'a PitchCard>) -> Self {
        let of = cards.flat_map(|card| [Tag::pitch(card.id), Tag::creator(card.creator.id)]);
        Self(of.collect())
    }
}

/// An answer and what it is made of.
pub(crate) struct Tagged<T>(pub(crate) Tags, pub(crate) T);

impl<T: IntoResponse> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        response.extensions_mut().insert(self.0);
        response
    }
}

/// Which writes a load must have seen: what keeps a cache says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadAfter(pub(crate) WalPosition);

/// The answer that a page of the cache makes; the outermost layer sends it.
#[derive(Debug, Clone)]
pub(crate) struct Ready(pub(crate) Arc<Page>);

/// A public read of the API, as the cache asks for it.
#[derive(Clone)]
pub struct Handler {
    kind: ResponseKind,
    tags: Vec<Box<str>>,
    parts: Parts,
    next: Next,
}

impl std::fmt::Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handler")
            .field("uri", &self.parts.uri)
            .finish_non_exhaustive()
    }
}

impl Source<CachedResponse, Problem> for Handler {
    fn tags(&self) -> Vec<Box<str>> {
        self.tags.clone()
    }

    fn discovers(&self) -> &'static [&'static str] {
        self.kind.discovers()
    }

    async fn load(&self, load: Load) -> Result<Loaded<CachedResponse>, Problem> {
        let mut parts = self.parts.clone();
        parts
            .extensions
            .insert(ReadAfter(WalPosition(load.position.0)));
        let request = Request::from_parts(parts, Body::empty());
        let mut response = self.next.clone().run(request).await;
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            return if problem.kind() == Kind::NotFound {
                Ok(Loaded {
                    value: CachedResponse(None),
                    absent: true,
                    tags: Vec::new(),
                    vintage: Vintage::Present,
                })
            } else {
                Err(problem)
            };
        }
        let (mut parts, body) = response.into_parts();
        let tags = parts.extensions.remove::<Tags>().unwrap_or_default().0;
        let page = page_of(&mut parts, body, true).await?;
        Ok(Loaded {
            value: CachedResponse(Some(Arc::new(page))),
            absent: false,
            tags: tags.iter().map(|tag| tag.as_str().into()).collect(),
            vintage: Vintage::Present,
        })
    }
}

/// What the layer needs.
#[derive(Clone)]
pub(crate) struct Cached {
    pub(crate) responses: Option<Arc<dyn Responses>>,
    pub(crate) clock: Arc<dyn Clock + Send + Sync>,
}

impl Cached {
    pub(crate) fn of<S>(state: &crate::ApiState<S>) -> Self {
        Self {
            responses: state.responses.clone(),
            clock: state.clock.clone(),
        }
    }
}

/// What somebody who looked just now has found in memory.
#[derive(Clone)]
pub(crate) struct Looked(pub(crate) Option<Answer<CachedResponse>>);

/// Marks a request that comes from the warming plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Warming;

pub(crate) async fn cached(
    State(cached): State<Cached>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(responses) = &cached.responses else {
        return next.run(request).await;
    };
    let Some((kind, key)) = key_of(&request) else {
        return next.run(request).await;
    };
    let from = request.extensions().get::<FromEdge>().copied();
    if !is_far_enough(from, &**responses) {
        // Whoever asks knows more than can be checked here: the source itself answers.
        let position = WalPosition(Position::SOURCE.0);
        request.extensions_mut().insert(ReadAfter(position));
        return next.run(request).await;
    }
    let tell_all = |answer: &Answer<CachedResponse>, response: &mut Response| {
        if from.is_some() {
            tell_edge(answer, &**responses, &*cached.clock, response.headers_mut());
        }
    };
    let warms = request.extensions().get::<Warming>().is_some();
    if !warms {
        let found = match request.extensions_mut().remove() {
            Some(Looked(found)) => found,
            None => responses.hit(kind, &key),
        };
        if let Some(answer) = found {
            let mut response = respond(&answer, &*cached.clock);
            tell_all(&answer, &mut response);
            return response;
        }
    }
    let handler = Handler {
        kind,
        tags: tags_of(kind, request.uri()),
        parts: bare(request.into_parts().0),
        next,
    };
    if warms {
        let done = responses.warm(kind, &key, handler).await;
        let status = if done {
            StatusCode::NO_CONTENT
        } else {
            StatusCode::ACCEPTED
        };
        return status.into_response();
    }
    match responses.get(kind, &key, handler).await {
        Ok(answer) => {
            let mut response = respond(&answer, &*cached.clock);
            tell_all(&answer, &mut response);
            response
        }
        Err(GetError::Load(problem)) => problem.into_response(),
        Err(GetError::Timeout | GetError::Incomplete) => {
            Problem::unavailable(Duration::from_secs(1)).into_response()
        }
    }
}

/// What a handler of a public read may look at: nothing of the one who asks.
fn bare(mut parts: Parts) -> Parts {
    parts.method = Method::GET;
    parts.headers = HeaderMap::new();
    parts
}

fn respond(answer: &Answer<CachedResponse>, clock: &(impl Clock + ?Sized)) -> Response {
    let mut response = match &answer.value().0 {
        None => Problem::not_found().into_response(),
        Some(page) => {
            let mut response = Response::new(Body::empty());
            response.extensions_mut().insert(Ready(page.clone()));
            response
        }
    };
    tell(answer, clock, response.headers_mut());
    response
}

/// Says in the headers where the answer came from.
pub(crate) fn tell(
    answer: &Answer<CachedResponse>,
    clock: &(impl Clock + ?Sized),
    headers: &mut HeaderMap,
) {
    let (short, long) = status(answer, clock);
    headers.insert(X_CACHE_STATUS, HeaderValue::from_static(short));
    if let Ok(long) = HeaderValue::try_from(long) {
        headers.insert(CACHE_STATUS, long);
    }
}

/// Where the answer came from, in a word and as of RFC 9211.
fn status(
    answer: &Answer<CachedResponse>,
    clock: &(impl Clock + ?Sized),
) -> (&'static str, String) {
    use pitchey_cache::From;
    let now = clock.now();
    let ttl = answer.entry.fresh_for(now).as_secs();
    let detail = match answer.from {
        From::Memory => "memory",
        From::Shared => "redis",
        From::Source => "origin",
        From::Coalesced => "coalesced",
    };
    let (word, how) = match (answer.state, answer.from) {
        (Freshness::Fresh, From::Source) => ("MISS", "fwd=miss; stored".to_owned()),
        (Freshness::Fresh, From::Coalesced) => ("HIT", format!("fwd=miss; collapsed; ttl={ttl}")),
        (Freshness::Fresh, _) => ("HIT", format!("hit; ttl={ttl}")),
        (Freshness::Stale, _) => {
            let age = answer.entry.age(now).as_secs();
            ("STALE", format!("hit; ttl=-{}", age.max(1)))
        }
        (Freshness::StaleOnError | Freshness::Unverified, _) => {
            ("STALE", "hit; fwd=stale; fwd-status=503".to_owned())
        }
    };
    (word, format!("pitchey-origin; {how}; detail={detail}"))
}

/// The kind and the one key of what a request asks for, if its answer is kept.
fn key_of(request: &Request) -> Option<(ResponseKind, String)> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let route = request.extensions().get::<MatchedPath>()?;
    let kept = KEPT.iter().find(|kept| kept.route == route.as_str())?;
    Some((kept.kind, key(kept.kind, request.uri())))
}

/// The one key of an address.
pub(crate) fn key(kind: ResponseKind, uri: &Uri) -> String {
    let mut key = String::with_capacity(96);
    key.push_str(kind.name());
    key.push(':');
    key.push_str(uri.path());
    if let Some(query) = uri.query() {
        key.push('?');
        if query.contains('&') {
            let mut pairs: Vec<&str> = query.split('&').collect();
            pairs.sort_unstable();
            for (n, pair) in pairs.into_iter().enumerate() {
                if n > 0 {
                    key.push('&');
                }
                key.push_str(pair);
            }
        } else {
            key.push_str(query);
        }
    }
    key
}

/// The tags that the address of an answer tells, before its handler is asked.
pub(crate) fn tags_of(kind: ResponseKind, uri: &Uri) -> Vec<Box<str>> {
    let tag = match kind {
        ResponseKind::PitchDetail => {
            let id = uri.path().rsplit('/').next().and_then(|id| id.parse().ok());
            id.map(|id| Tag::pitch(PitchId(id)))
        }
        ResponseKind::PitchList => Some(genre_of(uri).map_or_else(Tag::lists, Tag::genre)),
        ResponseKind::Search => Some(Tag::search()),
        ResponseKind::UserProfile => {
            let name = uri
                .path()
                .rsplit('/')
                .next()
                .and_then(|name| name.parse().ok());
            name.as_ref().map(Tag::username)
        }
    };
    tag.iter().map(|tag| tag.as_str().into()).collect()
}

fn genre_of(uri: &Uri) -> Option<Genre> {
    let mut pairs = uri.query()?.split('&');
    pairs
        .find_map(|pair| pair.strip_prefix("genre="))?
        .parse()
        .ok()
}
