//! The edge of Pitchey: its own table of routes, and answers that are kept under tags.
//!
//! What is in the table of kept reads comes from the tiered cache, whose acknowledged invalidations are never
//! undone: the edge is one more node of it, and takes for its entries the moment that the origin says they
//! have seen. Everything else goes to the origin, uncached, and browsers are told not to store it unless the
//! table says otherwise.

mod beyond;
mod desk;
mod lately;
mod near;
mod page;
mod pages;
mod path;
mod read;
mod told;

use std::sync::Arc;
use std::time::Duration;

use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, IF_MATCH,
    IF_UNMODIFIED_SINCE, SET_COOKIE, TRANSFER_ENCODING,
};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use pitchey_api::RouteClass;
use pitchey_api::edge::{KEY, Routes, STAMP, ToldSession, read_as_of};
use pitchey_cache::{AsOf, Backplane, Cache, Memory, Node, NodeConfig, Policy, Shared};
use pitchey_http_cache::{Decision, Options, Request as Asked, SharedCache, Timestamp};
use pitchey_resilience::Breaker;
use pitchey_runtime::uuid_v7;

use crate::body::Body;
use crate::far::Far;
use crate::fields::{self, Client, Introduction};
use crate::limits::class;
use crate::platform::{FetchError, Platform};
use crate::proxy::refusal;
use crate::regions::{Place, Regions};
use crate::sessions::AsksWhose;

use lately::Lately;
use near::Near;
pub use page::{Failure, Page};

/// The path in the spelling that it is classified by; `None` if it could be read in two ways.
pub fn normal_path(path: &str) -> Option<std::borrow::Cow<'_, str>> {
    path::normal(path).ok()
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id of a request that is taken over.
const MAX_ID: usize = 64;

/// The longest address.
const MAX_TARGET: usize = 4096;

/// Cookies that mean something to the origin; others are nobody's business.
const COOKIES: [&str; 2] = ["__Host-session", POSITION];

/// The cookie of one who has changed something a moment ago.
const POSITION: &str = "__Host-position";

/// The same from an edge that hears nothing, where the origin gives no position: without replicas there is none.
const CHANGED: &str = "__Host-changed";

/// As long as the longest bound of such an edge.
const CHANGED_COOKIE: HeaderValue = HeaderValue::from_static(
    "__Host-changed=1; Max-Age=60; Path=/; Secure; HttpOnly; SameSite=Lax",
);

/// How long the answer to a change waits until this node has heard of its invalidations. If it has not by
/// then, what is older is not served until it has.
const HEARING: Duration = Duration::from_millis(50);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(1);

/// What the edge is told.
#[derive(Clone, Debug)]
pub struct SiteSettings {
    /// The origin: scheme and authority.
    pub origin: Uri,
    /// The name of this cache in `Cache-Status`.
    pub name: String,
    /// What is shown to the origin.
    pub secret: HeaderValue,
    /// The largest body that is kept, in bytes.
    pub largest_body: u64,
    /// How long the origin may take for an answer.
    pub patience: Duration,
}

type Answers<P, M, S> = Cache<Page, Failure, M, S, P>;

/// The edge of Pitchey. Cheap to clone.
pub struct Site<P: Platform, M, S> {
    inner: Arc<Inner<P, M, S>>,
}

struct Inner<P: Platform, M, S> {
    platform: P,
    node: Arc<Node>,
    answers: Answers<P, M, S>,
    routes: Routes,
    plain: SharedCache,
    settings: SiteSettings,
    /// Whether it hears what is invalidated.
    hears: bool,
    /// What it was told lately, if it does not.
    lately: Option<Arc<Lately>>,
    /// What is asked before the origin, by an edge that hears nothing.
    tier: Option<Arc<beyond::Tier<P, S>>>,
    /// Where pages are kept that bear to be a little old, by an edge that hears nothing.
    pages: Option<Arc<pages::Pages>>,
    /// The times of each kind in all tiers together.
    whole: Vec<(&'static str, Policy)>,
    /// Databases near readers, if there are any.
    regions: Option<Arc<Regions>>,
}

impl<P: Platform, M, S> Clone for Site<P, M, S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

/// A request, as far as it is read.
struct Coming {
    method: Method,
    /// Path and query, normal.
    target: String,
    headers: HeaderMap,
    id: HeaderValue,
    introduction: Introduction,
    /// Whether the origin is to say whose session it came with.
    asks_whose: bool,
}

impl<P: Platform, M: Memory<Page>, S: Shared> Site<P, M, S> {
    /// An edge on this platform, with a memory for pages, as a node of this backplane.
    pub fn new(platform: P, backplane: Backplane<S, P>, memory: M, settings: SiteSettings) -> Self {
        let policies = read::policies(settings.patience);
        let tiers = (None, None);
        Self::with(platform, backplane, memory, settings, policies, tiers, None)
    }

    fn with(
        platform: P,
        backplane: Backplane<S, P>,
        memory: M,
        settings: SiteSettings,
        policies: Vec<(&'static str, Policy)>,
        (tier, pages): (Option<beyond::Tier<P, S>>, Option<pages::Pages>),
        lately: Option<Lately>,
    ) -> Self {
        let node = backplane.node().clone();
        let answers = Cache::new(backplane, memory, policies);
        Self {
            inner: Arc::new(Inner {
                platform,
                node,
                answers,
                routes: Routes,
                plain: SharedCache::new(Options::default()),
                whole: read::policies(settings.patience),
                settings,
                hears: lately.is_none(),
                lately: lately.map(Arc::new),
                tier: tier.map(Arc::new),
                pages: pages.map(Arc::new),
                regions: None,
            }),
        }
    }

    /// The same, with databases near readers. To be called before there are clones.
    #[must_use]
    pub fn with_regions(mut self, regions: Regions) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.regions = Some(Arc::new(regions));
        }
        self
    }

    /// The databases near readers, if there are any.
    pub fn regions(&self) -> Option<&Arc<Regions>> {
        self.inner.regions.as_ref()
    }

    /// What it runs on.
    pub fn platform(&self) -> &P {
        &self.inner.platform
    }

    /// Entries in memory and their bytes, about.
    pub fn size(&self) -> (u64, u64) {
        self.inner.answers.size()
    }

    /// The cache of answers.
    pub fn answers(&self) -> &Cache<Page, Failure, M, S, P> {
        &self.inner.answers
    }

    /// The node.
    pub fn node(&self) -> &Arc<Node> {
        &self.inner.node
    }

    /// Answers a request.
    pub async fn handle(&self, request: Request<P::Upload>, client: Client) -> Response<Body<P>> {
        let inner = &self.inner;
        let began = inner.platform.now();
        let (mut parts, upload) = request.into_parts();
        let id = inner.id_of(&parts.headers, client);
        // The platform knows where it is asked from, or one that is trusted says so.
        let from = parts.extensions.remove::<Place>();
        let from = from.or_else(|| {
            (inner.regions.is_some() && client.trusted)
                .then(|| Place::told(&parts.headers))
                .flatten()
        });
        let chain = fields::strip(&mut parts.headers);
        let whole = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
        let path = match path::normal(parts.uri.path()) {
            Ok(path) if whole.len() <= MAX_TARGET => path,
            Ok(_) => {
                let text = "The address is too long.";
                return inner.end(refusal(StatusCode::URI_TOO_LONG, text), &id, began);
            }
            Err(problem) => {
                let response = refusal(StatusCode::BAD_REQUEST, problem.as_str());
                return inner.end(response, &id, began);
            }
        };
        let query = parts.uri.query();
        let introduction = Introduction {
            client,
            chain,
            version: parts.version,
        };
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        if reads && is_simple(&parts.headers) {
            match inner.routes.kept(&path, query) {
                Err(problem) => {
                    let text = problem.to_string();
                    let response = refusal(StatusCode::BAD_REQUEST, &text);
                    return inner.end(response, &id, began);
                }
                Ok(Some(kept)) => {
                    let (regions, lately) = (inner.regions.as_ref(), inner.lately.as_ref());
                    let near = Near::of(regions, lately, from, &parts.headers);
                    let response = inner
                        .read(&parts.method, &parts.headers, kept, introduction, near, &id)
                        .await;
                    return inner.end(response, &id, began);
                }
                Ok(None) => {}
            }
        }
        let mut target = path.into_owned();
        if let Some(query) = query {
            target.push('?');
            target.push_str(query);
        }
        own_cookies(&mut parts.headers);
        // HTTP/2 names the host in the address.
        if let Some(host) = parts.uri.authority()
            && let Ok(host) = HeaderValue::from_str(host.as_str())
        {
            parts.headers.insert(HOST, host);
        }
        let coming = Coming {
            method: parts.method,
            target,
            headers: parts.headers,
            id: id.clone(),
            introduction,
            asks_whose: parts.extensions.remove::<AsksWhose>().is_some(),
        };
        let response = Box::pin(inner.pass(coming, upload)).await;
        inner.end(response, &id, began)
    }
}

impl<P: Platform, M: Memory<Page>, S: Shared> Site<P, M, Option<S>> {
    /// An edge that hears nothing of what is invalidated: what it keeps in memory is served until the origin, or
    /// the tier that all share, was last asked for it so long ago, and no longer. Whoever has changed something
    /// a moment ago is not answered from either. No request waits for what another one asks.
    ///
    /// What the `far` store has is served for so long after the origin was asked, where the tier says nothing, for
    /// kinds that bear it.
    pub fn unheard(
        platform: P,
        tier: Option<S>,
        far: Option<(Arc<dyn Far>, Duration)>,
        bound: Duration,
        memory: M,
        settings: SiteSettings,
    ) -> Self {
        let node = Arc::new(Node::new(NodeConfig {
            silence: bound,
            ..NodeConfig::default()
        }));
        let has_tier = tier.is_some();
        let breaker = Breaker::new(beyond::BREAKER);
        let backplane = Backplane::new(node, tier, platform.clone(), breaker);
        let tier = beyond::Tier::new(platform.clone(), backplane.clone(), settings.patience);
        let tier = has_tier.then_some(tier);
        let policies = read::unheard_policies(bound, settings.patience);
        let pages = far.map(|(far, lasting)| pages::Pages::new(far, lasting));
        let tiers = (tier, pages);
        let lately = Some(Lately::new(bound));
        Self::with(
            platform, backplane, memory, settings, policies, tiers, lately,
        )
    }
}

/// Whether a read asks for nothing that only the origin can answer.
fn is_simple(headers: &HeaderMap) -> bool {
    [
        IF_MATCH,
        IF_UNMODIFIED_SINCE,
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
    ]
    .iter()
    .all(|name| !headers.contains_key(name))
}

/// Whether somebody asks who has changed something a moment ago.
fn has_changed_something(headers: &HeaderMap) -> bool {
    has_cookie(headers, &[POSITION, CHANGED])
}

/// Whether one of these cookies is sent.
fn has_cookie(headers: &HeaderMap, names: &[&str]) -> bool {
    let mut lines = headers.get_all(COOKIE).iter();
    lines.any(|line| {
        let mut pairs = line.as_bytes().split(|byte| *byte == b';');
        pairs.any(|pair| {
            let pair = pair.trim_ascii_start();
            names.iter().any(|name| is_cookie(pair, name))
        })
    })
}

fn is_cookie(pair: &[u8], name: &str) -> bool {
    let value = pair.strip_prefix(name.as_bytes());
    value.is_some_and(|value| value.starts_with(b"="))
}

/// Has whoever has changed something say so, unless the origin has.
fn mark_changed(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(SET_COOKIE).iter();
    if !cookies.any(|cookie| is_cookie(cookie.as_bytes(), POSITION)) {
        headers.append(SET_COOKIE, CHANGED_COOKIE);
    }
}

/// Leaves the cookies that mean something to the origin.
fn own_cookies(headers: &mut HeaderMap) {
    if !headers.contains_key(COOKIE) {
        return;
    }
    let kept: Vec<String> = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .map(str::trim)
        .filter(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            COOKIES.contains(&name)
        })
        .map(ToOwned::to_owned)
        .collect();
    headers.remove(COOKIE);
    if let Ok(line) = HeaderValue::try_from(kept.join("; "))
        && !kept.is_empty()
    {
        headers.insert(COOKIE, line);
    }
}

impl<P: Platform, M: Memory<Page>, S: Shared> Inner<P, M, S> {
    /// The id that a trusted hop has given the request, else a new one.
    fn id_of(&self, headers: &HeaderMap, client: Client) -> HeaderValue {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
        let mut given = headers.get_all(X_REQUEST_ID).iter();
        let first = given
            .next()
            .filter(|id| (1..=MAX_ID).contains(&id.len()) && id.as_bytes().iter().all(plain));
        match (first, given.next()) {
            (Some(id), None) if client.trusted => id.clone(),
            _ => HeaderValue::try_from(uuid_v7(&self.platform, &self.platform).to_string())
                .unwrap_or(HeaderValue::from_static("-")),
        }
    }

    fn target(&self, path_and_query: &str) -> Option<Uri> {
        let mut parts = self.settings.origin.clone().into_parts();
        parts.path_and_query = Some(path_and_query.parse().ok()?);
        Uri::from_parts(parts).ok()
    }

    /// Passes a request on to the origin, and its answer back, uncached.
    async fn pass(&self, coming: Coming, upload: P::Upload) -> Response<Body<P>> {
        let Some(uri) = self.target(&coming.target) else {
            return refusal(StatusCode::BAD_REQUEST, "This is no address.");
        };
        let asked = Asked {
            method: &coming.method,
            uri: &uri,
            headers: &coming.headers,
        };
        let now = Timestamp::from_unix(self.platform.wall().unix_timestamp());
        let Decision::Forward(fetch) = self.plain.lookup(asked, &[], now) else {
            let text = "Nothing is stored here that could be answered.";
            return refusal(StatusCode::GATEWAY_TIMEOUT, text);
        };
        let mut headers = fetch.headers;
        coming.introduction.tell(&mut headers);
        headers.insert(X_REQUEST_ID, coming.id);
        let changes = !coming.method.is_safe();
        if changes || coming.asks_whose {
            headers.insert(KEY, self.settings.secret.clone());
        }
        let mut request = Request::new(upload);
        *request.method_mut() = coming.method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers;
        let response = match self.platform.fetch(request).await {
            Ok(response) => response,
            Err(error) => return failed(&error),
        };
        let (mut parts, download) = response.into_parts();
        if changes {
            let told = read_as_of(&parts.headers, &STAMP);
            self.settle_change(told, parts.status).await;
            let class = class(&coming.method, uri.path());
            if !self.hears && parts.status.is_success() && class != RouteClass::Beacon {
                mark_changed(&mut parts.headers);
            }
        }
        let whose = coming
            .asks_whose
            .then(|| ToldSession::read(&parts.headers))
            .flatten();
        fields::end_to_end(&mut parts.headers);
        fields::strip_own(&mut parts.headers);
        if !self.routes.is_public(&coming.method, uri.path()) {
            let private = HeaderValue::from_static("private, no-store");
            parts.headers.insert(CACHE_CONTROL, private);
        }
        told::bypass(&mut parts.headers, &self.settings.name, changes);
        let mut passed = Response::new(Body::Passed(download));
        *passed.status_mut() = parts.status;
        *passed.headers_mut() = parts.headers;
        if let Some(whose) = whose {
            passed.extensions_mut().insert(whose);
        }
        passed
    }

    /// Before a change is acknowledged: this node has heard of its invalidations, or serves nothing that
    /// is older until it has.
    async fn settle_change(&self, told: Option<AsOf>, status: StatusCode) {
        if !self.hears {
            return;
        }
        let Some(as_of) = told else {
            // The origin could not say what there is to be heard of.
            if status.is_success() {
                self.distrust();
            }
            return;
        };
        let until = self.platform.now() + HEARING;
        while !self.node.has_applied(as_of) && self.platform.now() < until {
            self.platform.sleep(LOOK).await;
        }
        if !self.node.heard_of(as_of) {
            // This node hears nothing, or of another epoch.
            self.distrust();
        }
    }

    /// Nothing that is in memory is served any more, though it might be trusted for a moment yet.
    fn distrust(&self) {
        let status = self.node.status(self.platform.now());
        if status.attached || !status.trusted_for.is_zero() {
            self.node.distrust();
        }
    }

    /// What every answer says of its request.
    fn end(
        &self,
        mut response: Response<Body<P>>,
        id: &HeaderValue,
        began: pitchey_runtime::Monotonic,
    ) -> Response<Body<P>> {
        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID, id.clone());
        told::timing(headers, self.platform.now().since(began));
        response
    }
}

/// The answer when the origin gives none.
fn failed<P: Platform>(error: &FetchError) -> Response<Body<P>> {
    match error {
        FetchError::Timeout => {
            let text = "The origin did not answer in time.";
            refusal(StatusCode::GATEWAY_TIMEOUT, text)
        }
        FetchError::Upload(_) => {
            let text = "The body of the request did not come, or is too large.";
            refusal(StatusCode::BAD_REQUEST, text)
        }
        FetchError::Failed(_) => refusal(StatusCode::BAD_GATEWAY, "The origin cannot be reached."),
    }
}

/// A policy of the edge: it keeps in memory alone, for as long as all tiers together may.
fn policy([fresh, revalidate, error]: [u64; 3], patience: Duration) -> Policy {
    let fresh = Duration::from_secs(fresh);
    Policy {
        memory: fresh,
        shared: Duration::ZERO,
        fresh,
        stale_while_revalidate: Duration::from_secs(revalidate),
        stale_if_error: Duration::from_secs(error),
        hard_timeout: patience,
        soft_timeout: patience.min(Duration::from_millis(500)),
        ..Policy::default()
    }
}
