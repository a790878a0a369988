//! The way in: a request of JavaScript becomes one of `http`, and the answer goes back.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as Waking, Poll, Waker};
use std::time::Duration;

use http::header::{HeaderMap, HeaderName};
use http::response::Parts;
use http::{Method, Request, Response, StatusCode, Uri};
use js_sys::Uint8Array;
use pitchey_edge::figures::{Answered, Class, Collector};
use pitchey_edge::health::{HEALTH, Health};
use pitchey_edge::limits::{self, Limits};
use pitchey_edge::regions::Place;
use pitchey_edge::sessions::{self, Sessions, Whose};
use pitchey_edge::{
    Body, Client, Far, Marks, Page, Proxy, Settings, Site, SiteSettings, asset_address, refusal,
};
use pitchey_http_cache::Options;
use pitchey_runtime::{Clock as _, Random as _, Spawn as _, Timer as _};
use send_wrapper::SendWrapper;
use time::OffsetDateTime;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::future_to_promise;

use crate::body::{Upload, outgoing};
use crate::config::{self, Config};
use crate::cron::{self, TELL};
use crate::memory::IsolateMemory;
use crate::meter::{self, METER, METRICS};
use crate::own::{Asked, OWN, Own};
use crate::pages::Kv;
use crate::platform::{Workers, length};
use crate::regions;
use crate::rest::{self, RestTier};
use crate::rooms::door;
use crate::scope::Scope;
use crate::{fields, glue};

const CF_CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");
const CF_RAY: HeaderName = HeaderName::from_static("cf-ray");

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The edge of this isolate.
pub(crate) struct Edge {
    pub(crate) mode: Mode,
    pub(crate) platform: Workers,
    pub(crate) config: Config,
    own: Own,
    limits: Option<Limits>,
    /// Whom it serves, if that makes a difference.
    sessions: Option<Sessions<Workers, IsolateMemory<Whose>, Option<RestTier>>>,
    pub(crate) health: Option<Health<Workers>>,
    pub(crate) collector: Option<Arc<Collector>>,
    began: OffsetDateTime,
    /// How many modules have failed before this one.
    failures: u32,
    /// Static files.
    assets: Option<Proxy<Workers>>,
}

pub(crate) enum Mode {
    Proxy(Proxy<Workers>),
    Pitchey(Site<Workers, IsolateMemory<Page>, Option<RestTier>>),
}

thread_local! {
    static EDGE: RefCell<Option<Rc<Edge>>> = const { RefCell::new(None) };
}

/// That of this isolate, if it was configured.
pub(crate) fn edge() -> Option<Rc<Edge>> {
    EDGE.with_borrow(Clone::clone)
}

/// Makes the edge that the variables ask for, a JSON object, after so many modules that failed. What is wrong with
/// them is logged, and every request answered with an error.
#[wasm_bindgen]
pub fn configure(variables: &str, failures: u32) {
    tell_panics();
    let parsed = Config::parse(variables).and_then(|config| {
        let missing = config.regional.as_ref().map(regions::missing);
        match missing.unwrap_or_default().join(", ") {
            none if none.is_empty() => Ok(config),
            names => Err(format!(
                "REGIONS names what is no binding of Hyperdrive: {names}"
            )),
        }
    });
    match parsed {
        Ok(config) => {
            door::open(&config);
            EDGE.set(Some(Rc::new(Edge::new(config, failures))));
        }
        Err(problems) => glue::log(&format!("the configuration is wrong: {problems}")),
    }
}

/// Has JavaScript told of a panic, so that it begins anew.
pub(crate) fn tell_panics() {
    std::panic::set_hook(Box::new(|info| glue::panicked(&info.to_string())));
}

/// The name of this cache in `Cache-Status`.
const NAME: &str = "pitchey-edge";

/// About what a session takes in memory.
const SESSION_BYTES: usize = 512;

/// The store that is everywhere and a little behind.
fn far(kv: config::Kv) -> Arc<dyn Far> {
    Arc::new(Kv::new(kv.timeout_ms))
}

/// A cache by the rules of HTTP alone.
fn proxy(platform: Workers, origin: Uri, patience: Duration) -> Proxy<Workers> {
    let options = Options {
        seed: platform.next_u64(),
        // Nobody is to make it ask a bucket for what is fresh.
        obey_requests: !platform.is_of_files(),
        ..Options::default()
    };
    let settings = Settings {
        origin,
        name: NAME.to_owned(),
        options,
        patience,
        // Cloudflare codes what goes out by itself.
        encode: None,
    };
    Proxy::new(platform, settings)
}

impl Edge {
    fn new(config: Config, failures: u32) -> Self {
        let platform = Workers::new(&config);
        let clock = platform.clone();
        let origin = config.origin.clone();
        let patience = Duration::from_millis(config.response_timeout_ms.into());
        let mode = if let Some(pitchey) = &config.pitchey {
            let settings = SiteSettings {
                origin,
                name: NAME.to_owned(),
                secret: pitchey.secret.clone(),
                largest_body: config.largest_body_kib << 10,
                patience,
            };
            let bound = Duration::from_millis(pitchey.bound_ms.into());
            let memory = IsolateMemory::of_pages(config.memory_bytes());
            let tier = rest::tier(&config, &platform);
            let far = config
                .kv
                .map(|kv| (far(kv), Duration::from_millis(kv.bound_ms.into())));
            let site = Site::unheard(platform, tier, far, bound, memory, settings);
            let regional = config.regional.as_ref();
            let regions = regional.map(|regional| regions::regions(regional, &clock));
            Mode::Pitchey(match regions {
                Some(regions) => site.with_regions(regions),
                None => site,
            })
        } else {
            Mode::Proxy(proxy(platform, origin, patience))
        };
        let assets = config.assets.map(|assets| {
            let origin = Uri::from_static("http://assets");
            proxy(Workers::of_files(&config, assets), origin, patience)
        });
        // Who does not know Pitchey's routes cannot count them.
        let limits = config.pitchey.as_ref();
        let limits = limits.and_then(|_| Limits::new(config.clients, &config.rates));
        let apart = limits
            .as_ref()
            .filter(|limits| limits.tell_accounts_apart());
        let sessions = apart.map(|_| {
            let memory = IsolateMemory::new(config.clients.known * SESSION_BYTES);
            Sessions::unheard(clock.clone(), memory, config.kv.map(far))
        });
        Self {
            own: Own::new(&config, &clock),
            health: cron::health(&config, &clock, &mode),
            collector: cron::collector(&config, &clock).map(Arc::new),
            mode,
            began: clock.wall(),
            failures,
            platform: clock,
            config,
            limits,
            sessions,
            assets,
        }
    }

    /// What answers to a request with these fields are to say of this edge, if anything.
    fn marks(&self, headers: &HeaderMap) -> Option<Marks> {
        self.has_marks().then(|| Marks::new(location(headers)))
    }

    fn has_marks(&self) -> bool {
        let pitchey = self.config.pitchey.as_ref();
        pitchey.is_some_and(|pitchey| pitchey.marks)
    }

    /// What the edge answers to everybody by itself, in the place of an origin.
    fn by_itself(&self, method: &Method, path: &str) -> Option<Response<Body<Workers>>> {
        if path == METRICS && self.has_marks() && matches!(*method, Method::GET | Method::HEAD) {
            return Some(meter::told(self.began, self.failures));
        }
        let health = self.health.as_ref()?;
        if !Health::<Workers>::takes(method, path) {
            return None;
        }
        if health.is_due() {
            let health = health.clone();
            self.platform.spawn(async move { health.ask(TELL).await });
        }
        Some(health.answer(method, Default::default))
    }

    /// Counts an answer, and sees to it that it is written down.
    fn count(
        &self,
        collector: &Arc<Collector>,
        answered: Answered,
        took: Duration,
        location: &str,
    ) {
        let now = self.platform.wall();
        if !collector.count(answered, took, now) {
            return;
        }
        let (collector, location) = (collector.clone(), location.to_owned());
        let waiting = Duration::from_millis(self.config.duties.write_after_ms.into());
        let waiting = self.platform.sleep(waiting);
        self.platform.spawn(async move {
            waiting.await;
            if !collector.write(&location, now).await {
                glue::log("what was counted is not written: KV does not take it");
            }
        });
    }

    fn class(&self, method: &Method, path: &str) -> Class {
        if path.starts_with(OWN) || path == HEALTH || path == METRICS {
            Class::Own
        } else {
            match self.mode {
                Mode::Proxy(_) => Class::Proxy,
                Mode::Pitchey(_) => Class::Api(limits::class(method, path)),
            }
        }
    }
}

/// The code of the data centre that a request has come to; empty if nobody says it.
fn location(headers: &HeaderMap) -> &str {
    let ray = headers.get(CF_RAY).and_then(|ray| ray.to_str().ok());
    // It ends with that.
    ray.and_then(|ray| ray.rsplit_once('-'))
        .map_or("", |(_, location)| location)
}

/// Answers a request, whose fields are a text: a response, if there is one at once, else the promise of one.
#[wasm_bindgen]
pub fn answer(
    method: String,
    url: String,
    fields: String,
    body: Option<glue::Stream>,
    context: glue::Context,
) -> JsValue {
    let scope = Scope::new(context);
    let answering = answered(scope.clone(), method, url, fields, body);
    let mut answering = Box::pin(scope.scoped(answering));
    // What is in memory is there when it is first looked for, and costs no promise. Whatever else is waited
    // for is polled again at once, and then knows whom to wake.
    let mut waking = Waking::from_waker(Waker::noop());
    match answering.as_mut().poll(&mut waking) {
        Poll::Ready(response) => response.into(),
        Poll::Pending => future_to_promise(async move { Ok(answering.await.into()) }).into(),
    }
}

async fn answered(
    scope: Scope,
    method: String,
    url: String,
    fields: String,
    body: Option<glue::Stream>,
) -> glue::Response {
    let response = match edge() {
        Some(edge) => handle(&edge, &method, &url, &fields, body).await,
        None => {
            let text = "The edge is not configured as it must be.";
            refusal(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    };
    let (parts, body) = response.into_parts();
    if let Body::Kept(Some(entry)) = &body
        && let Some(response) = again(entry.value(), &parts)
    {
        return response;
    }
    let without_body = method == "HEAD" || matches!(parts.status.as_u16(), 204 | 205 | 304);
    let body = if without_body {
        drop(body);
        JsValue::NULL
    } else {
        outgoing(body, &scope)
    };
    glue::respond(parts.status.as_u16(), &fields::write(&parts.headers), &body)
}

/// A page that was sent, and what it was sent with beside its own fields the last time.
struct Sent {
    again: glue::Again,
    more: RefCell<Option<String>>,
}

/// The whole of a page that is kept: what is as it was when it was sent before does not cross again.
fn again(page: &Page, told: &Parts) -> Option<glue::Response> {
    let (status, fields, body) = page.parts();
    let id = told.headers.get(&X_REQUEST_ID)?.to_str().ok()?;
    let more = fields::write_more(&told.headers, fields, &X_REQUEST_ID)?;
    if told.status != status {
        return None;
    }
    let sent = page.made(|| {
        let body = Uint8Array::from(&**body).buffer().into();
        SendWrapper::new(Sent {
            again: glue::Again::new(status.as_u16(), &fields::write(fields), &body),
            more: RefCell::default(),
        })
    })?;
    let mut before = sent.more.borrow_mut();
    let changed = before.as_ref() != Some(&more);
    if changed {
        *before = Some(more);
    }
    let changed = before.as_deref().filter(|_| changed);
    Some(sent.again.respond(changed, X_REQUEST_ID.as_str(), id))
}

async fn handle(
    edge: &Edge,
    method: &str,
    url: &str,
    fields: &str,
    body: Option<glue::Stream>,
) -> Response<Body<Workers>> {
    let bytes = url.len() + fields.len();
    let validated = |is_good| METER.with(|meter| meter.validate.called(bytes, is_good));
    let method = Method::from_bytes(method.as_bytes()).ok();
    let Some((method, uri)) = method.zip(path_and_query(url).parse::<Uri>().ok()) else {
        validated(false);
        return refusal(StatusCode::BAD_REQUEST, "This is no address.");
    };
    if fields.len() > edge.config.max_header_bytes {
        validated(false);
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return refusal(status, "The header of the request is too large.");
    }
    let headers = fields::read(fields);
    validated(true);
    let began = edge.platform.now();
    let counted = edge.collector.as_ref().map(|collector| {
        let class = edge.class(&method, uri.path());
        (collector, class, location(&headers).to_owned())
    });
    let response = decided(edge, method, uri, headers, (url, body)).await;
    let took = edge.platform.now().since(began);
    meter::answered(took);
    if let Some((collector, class, location)) = counted {
        let answered = Answered::of(class, response.status(), response.headers());
        edge.count(collector, answered, took, &location);
    }
    response
}

async fn decided(
    edge: &Edge,
    method: Method,
    uri: Uri,
    mut headers: HeaderMap,
    (url, body): (&str, Option<glue::Stream>),
) -> Response<Body<Workers>> {
    let Edge {
        mode,
        platform,
        config,
        own,
        limits,
        sessions,
        assets,
        ..
    } = edge;
    let marks = edge.marks(&headers).map(|marks| (marks, platform.now()));
    let client = Client {
        address: headers
            .get(CF_CONNECTING_IP)
            .and_then(|address| address.to_str().ok()?.parse().ok()),
        trusted: false,
        secure: url.starts_with("https:"),
    };
    let place = config.regional.as_ref();
    let place = place.and_then(|_| Place::told(&headers));
    of_the_platform(&mut headers);
    let sessions = sessions.as_ref();
    let presented = sessions.and_then(|sessions| sessions.presented(&headers));
    let who = sessions::who(presented.as_ref());
    let counted = limits.as_ref().zip(client.address);
    let counted = counted.and_then(|(limits, address)| {
        limits.count(&method, uri.path(), (address, who), platform.now())
    });
    if let Some(refused) = counted.and_then(|counted| counted.refused()) {
        return refused;
    }
    if let Some(response) = edge.by_itself(&method, uri.path()) {
        return response;
    }
    if uri.path().starts_with(OWN) {
        let asked = Asked {
            method,
            uri,
            headers,
            body,
        };
        return Box::pin(own.answer(edge, asked, client)).await;
    }
    let declared = length(&headers);
    if declared.is_some_and(|length| length > config.max_body_bytes) {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return refusal(status, "The body of the request is too large.");
    }
    let upload = Upload {
        stream: SendWrapper::new(body),
        limit: declared.is_none().then_some(config.max_body_bytes),
    };
    let mut asked = Request::new(upload);
    *asked.method_mut() = method;
    *asked.uri_mut() = uri;
    *asked.headers_mut() = headers;
    if let Some((sessions, presented)) = sessions.zip(presented.as_ref()) {
        sessions.ask(presented, &mut asked);
    }
    if let Some(place) = place {
        asked.extensions_mut().insert(place);
    }
    let file = assets.as_ref().zip(asset_address(asked.uri()));
    let mut response = match (mode, file) {
        (_, Some((assets, address))) => {
            *asked.uri_mut() = address;
            assets.handle(asked, client).await
        }
        (Mode::Proxy(proxy), _) => proxy.handle(asked, client).await,
        (Mode::Pitchey(site), _) => site.handle(asked, client).await,
    };
    if let Some((sessions, presented)) = sessions.zip(presented) {
        sessions.learn(presented, &mut response);
    }
    if let Some(counted) = counted {
        counted.tell(response.headers_mut());
    }
    if let Some((marks, began)) = marks {
        let took = platform.now().since(began);
        marks.leave(response.headers_mut(), took);
    }
    response
}

/// The path and the query of an absolute URL.
pub(crate) fn path_and_query(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let path = url[authority..].find('/');
    let path = path.map_or("/", |at| &url[authority + at..]);
    path.split('#').next().unwrap_or_default()
}

/// Takes out what Cloudflare says of the request: it is other for each, and no business of the origin's.
fn of_the_platform(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("cf-"))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
}
