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
use pitchey_edge::limits::Limits;
use pitchey_edge::regions::Place;
use pitchey_edge::{Body, Client, Far, Marks, Page, Proxy, Settings, Site, SiteSettings, refusal};
use pitchey_http_cache::Options;
use pitchey_runtime::{Clock as _, Random as _};
use send_wrapper::SendWrapper;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::future_to_promise;

use crate::body::{Upload, outgoing};
use crate::config::Config;
use crate::memory::IsolateMemory;
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
struct Edge {
    mode: Mode,
    platform: Workers,
    config: Config,
    own: Own,
    limits: Option<Limits>,
}

pub(crate) enum Mode {
    Proxy(Proxy<Workers>),
    Pitchey(Site<Workers, IsolateMemory, Option<RestTier>>),
}

thread_local! {
    static EDGE: RefCell<Option<Rc<Edge>>> = const { RefCell::new(None) };
}

/// Makes the edge that the variables ask for, a JSON object. What is wrong with them is logged, and every
/// request answered with an error.
#[wasm_bindgen]
pub fn configure(variables: &str) {
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
            EDGE.set(Some(Rc::new(Edge::new(config))));
        }
        Err(problems) => glue::log(&format!("the configuration is wrong: {problems}")),
    }
}

/// Has JavaScript told of a panic, so that it begins anew.
pub(crate) fn tell_panics() {
    std::panic::set_hook(Box::new(|info| glue::panicked(&info.to_string())));
}

impl Edge {
    fn new(config: Config) -> Self {
        let platform = Workers::new(&config);
        let clock = platform.clone();
        let (origin, name) = (config.origin.clone(), "pitchey-edge".to_owned());
        let patience = Duration::from_millis(config.response_timeout_ms.into());
        let mode = if let Some(pitchey) = &config.pitchey {
            let settings = SiteSettings {
                origin,
                name,
                secret: pitchey.secret.clone(),
                largest_body: config.largest_body_kib << 10,
                patience,
            };
            let bound = Duration::from_millis(pitchey.bound_ms.into());
            let memory = IsolateMemory::new(config.memory_bytes());
            let tier = rest::tier(&config, &platform);
            let far = config.kv.map(|kv| {
                let far: Arc<dyn Far> = Arc::new(Kv::new(kv.timeout_ms));
                (far, Duration::from_millis(kv.bound_ms.into()))
            });
            let site = Site::unheard(platform, tier, far, bound, memory, settings);
            let regional = config.regional.as_ref();
            let regions = regional.map(|regional| regions::regions(regional, &clock));
            Mode::Pitchey(match regions {
                Some(regions) => site.with_regions(regions),
                None => site,
            })
        } else {
            let options = Options {
                seed: platform.next_u64(),
                ..Options::default()
            };
            let settings = Settings {
                origin,
                name,
                options,
                patience,
            };
            Mode::Proxy(Proxy::new(platform, settings))
        };
        // Who does not know Pitchey's routes cannot count them.
        let limits = config.pitchey.as_ref();
        let limits = limits.and_then(|_| Limits::new(config.clients, &config.rates));
        Self {
            mode,
            own: Own::new(&config, &clock),
            platform: clock,
            config,
            limits,
        }
    }

    /// What answers to a request with these fields are to say of this edge, if anything.
    fn marks(&self, headers: &HeaderMap) -> Option<Marks> {
        self.config
            .pitchey
            .as_ref()
            .filter(|pitchey| pitchey.marks)?;
        let ray = headers.get(CF_RAY).and_then(|ray| ray.to_str().ok());
        // It ends with the code of the data centre.
        let location = ray.and_then(|ray| ray.rsplit_once('-'));
        Some(Marks::new(location.map_or("", |(_, location)| location)))
    }
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
    let response = match EDGE.with_borrow(Clone::clone) {
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
    let Edge {
        mode,
        platform,
        config,
        own,
        limits,
    } = edge;
    let method = Method::from_bytes(method.as_bytes()).ok();
    let Some((method, uri)) = method.zip(path_and_query(url).parse::<Uri>().ok()) else {
        return refusal(StatusCode::BAD_REQUEST, "This is no address.");
    };
    if fields.len() > config.max_header_bytes {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return refusal(status, "The header of the request is too large.");
    }
    let mut headers = fields::read(fields);
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
    let counted = limits.as_ref().zip(client.address);
    let counted = counted
        .and_then(|(limits, address)| limits.count(&method, uri.path(), address, platform.now()));
    if let Some(refused) = counted.and_then(|counted| counted.refused()) {
        return refused;
    }
    if uri.path().starts_with(OWN) {
        let asked = Asked {
            method,
            uri,
            headers,
            body,
        };
        return Box::pin(own.answer(mode, platform, asked, client)).await;
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
    if let Some(place) = place {
        asked.extensions_mut().insert(place);
    }
    let mut response = match mode {
        Mode::Proxy(proxy) => proxy.handle(asked, client).await,
        Mode::Pitchey(site) => site.handle(asked, client).await,
    };
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
