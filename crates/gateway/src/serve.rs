//! Putting the parts together, and taking them apart in order.

use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use hyper::body::Incoming;
use ipnet::IpNet;
use pitchey_edge::figures::{Answered, Class, Ledger, Summary};
use pitchey_edge::limits::{self, Limits};
use pitchey_edge::sessions;
use pitchey_edge::{Body, Client, Marks, Proxy, Settings, asset_address, refusal};
use pitchey_http_cache::Options;
use pitchey_process::client_address::client_address;
use pitchey_runtime::{Clock as _, Random as _, SystemRuntime};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ms};
use crate::figures::{self, Durations, Figures};
use crate::health::Health;
use crate::live::Live;
use crate::native::Native;
use crate::own::{OWN, Own};
use crate::paced::Paced;
use crate::pitchey::{self, NativeSessions, NativeSite};
use crate::regions::Regional;
use crate::server::{self, Answers, Peer};
use crate::tls::Tls;
use crate::warming;

/// How long the end waits for what goes on behind the answers.
const BEHIND: Duration = Duration::from_secs(1);

/// Serves until `stop` is cancelled, and those who read figures on a listener of their own. Then the listener
/// closes, and requests in flight finish within the shutdown timeout.
pub async fn serve(
    listener: TcpListener,
    scrapers: Option<TcpListener>,
    config: Config,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let runtime = SystemRuntime::new();
    let origin = config.origin.uri().map_err(anyhow::Error::msg)?;
    let trusted = config.http.trusted().map_err(anyhow::Error::msg)?;
    let platform = Native::new(&config, runtime)?;
    let mut beside = JoinSet::new();
    let mut regional = None;
    let mode = if config.pitchey.enabled {
        let (mut site, hearing) = pitchey::site(&config, &platform, runtime)?;
        beside.spawn(hearing.run(stop.clone()));
        if let Some((regions, asking)) = Regional::new(&config, runtime)? {
            site = site.with_regions(regions);
            beside.spawn(asking.clone().run(stop.clone()));
            regional = Some(asking);
        }
        Mode::Pitchey(site)
    } else {
        let mut settings = proxy_settings(&config, origin, runtime);
        settings.encode = config.store.compress.then_some(encode);
        Mode::Proxy(Proxy::new(platform.clone(), settings))
    };
    let assets = match Native::of_files(&config, runtime)? {
        None => None,
        Some(platform) => {
            let origin = Uri::from_static("http://assets");
            let mut settings = proxy_settings(&config, origin, runtime);
            // Nobody is to make it ask a bucket for what is fresh.
            settings.options.obey_requests = false;
            Some(Proxy::new(platform, settings))
        }
    };
    let health = match &mode {
        Mode::Pitchey(site) => Some(Health::new(&config, site.clone(), regional, runtime)?),
        Mode::Proxy(_) => None,
    };
    if let Some(health) = health.clone() {
        beside.spawn(health.run(stop.clone()));
    }
    if let Mode::Pitchey(site) = &mode
        && !config.warm.paths.is_empty()
    {
        let warming = warming::run(config.clone(), site.clone(), runtime, stop.clone());
        beside.spawn(warming);
    }
    let live = Live::new(&config, runtime, stop.clone())?;
    let durations = match scrapers {
        None => None,
        Some(listener) => {
            let (metrics, durations) = figures::install()?;
            let figures = Figures {
                metrics,
                mode: mode.clone(),
                health: health.clone(),
                live: live.clone(),
                runtime,
            };
            tracing::info!(address = %listener.local_addr()?, "figures");
            beside.spawn(figures.serve(listener, config.http.clone()));
            Some(durations)
        }
    };
    let limits = config.limits.limits().filter(|_| config.pitchey.enabled);
    let sessions = match (&mode, &limits) {
        (Mode::Pitchey(site), Some(limits)) if limits.tell_accounts_apart() => {
            Some(pitchey::sessions(site, config.limits.clients))
        }
        _ => None,
    };
    // Who could read it is an operator.
    let ledger = config.desk.secret().is_some().then(|| {
        let location = &config.headers.location;
        Arc::new(Ledger::new(location, runtime.wall()))
    });
    let service = Gateway(Arc::new(Parts {
        durations,
        ledger: ledger.clone(),
        assets,
        health,
        marks: (config.pitchey.enabled && config.headers.debug)
            .then(|| Marks::new(&config.headers.location)),
        sessions,
        limits,
        own: Own::new(&config, mode.clone(), live.clone(), ledger, runtime),
        mode,
        live: live.clone(),
        trusted,
        stall: ms(config.http.stall_timeout_ms),
        largest: config.http.max_body_bytes,
        runtime,
    }));
    let tls = Tls::new(&config.tls, runtime)?;
    let acceptor = tls.as_ref().map(|tls| tls.acceptor.clone());
    if let Some(tls) = tls {
        beside.spawn(tls.follow());
    }
    let address = listener.local_addr()?;
    tracing::info!(%address, origin = %config.origin.url, "listening");
    let cut = server::run(listener, acceptor, service, &config.http, runtime, stop).await;
    if cut > 0 {
        tracing::warn!(connections = cut, "requests in flight took too long");
    }
    if let Some(live) = live {
        live.finish().await;
    }
    platform.finish(BEHIND).await;
    tracing::info!("stopped");
    Ok(())
}

fn proxy_settings(config: &Config, origin: Uri, runtime: SystemRuntime) -> Settings {
    Settings {
        origin,
        name: "pitchey-edge".to_owned(),
        options: Options {
            seed: runtime.next_u64(),
            ..Options::default()
        },
        patience: ms(config.origin.response_timeout_ms),
        encode: None,
    }
}

/// Bodies from so many bytes on take a millisecond and more to code: others are not to wait for that.
const LONG: usize = 32 << 10;

/// Codes a body, aside if that takes a while.
fn encode(coding: &str, body: &[u8]) -> Option<Vec<u8>> {
    let code = || pitchey_api::edge::encode_body(coding, body);
    let has_others = Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
    if has_others && body.len() >= LONG {
        tokio::task::block_in_place(code)
    } else {
        code()
    }
}

/// What answers requests.
#[derive(Clone)]
struct Gateway(Arc<Parts>);

/// What the edge is.
#[derive(Clone)]
pub(crate) enum Mode {
    /// A proxy in front of any site.
    Proxy(Proxy<Native>),
    /// The edge of Pitchey.
    Pitchey(NativeSite),
}

struct Parts {
    durations: Option<Durations>,
    ledger: Option<Arc<Ledger>>,
    assets: Option<Proxy<Native>>,
    health: Option<Health>,
    marks: Option<Marks>,
    /// Whom it serves, if that makes a difference.
    sessions: Option<NativeSessions>,
    limits: Option<Limits>,
    own: Own,
    mode: Mode,
    live: Option<Live>,
    trusted: Vec<IpNet>,
    stall: Duration,
    largest: u64,
    runtime: SystemRuntime,
}

/// Whether who passes a request on says that nobody could read along before.
fn says_secure(headers: &HeaderMap) -> bool {
    let said = headers.get("x-forwarded-proto");
    said.is_some_and(|said| said.as_bytes().eq_ignore_ascii_case(b"https"))
}

impl Parts {
    /// What kind of request this is.
    fn class(&self, method: &Method, path: &str) -> Class {
        if path.starts_with(OWN) || self.health.is_some() && Health::takes(method, path) {
            Class::Own
        } else if self.live.is_some() && Live::takes(path) {
            Class::Live
        } else {
            match self.mode {
                Mode::Proxy(_) => Class::Proxy,
                Mode::Pitchey(_) => Class::Api(limits::class(method, path)),
            }
        }
    }
}

impl Answers<Native> for Gateway {
    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Response<Body<Native>> {
        let Parts {
            durations,
            ledger,
            runtime,
            ..
        } = &*self.0;
        if durations.is_none() && ledger.is_none() {
            return self.answered(request, peer).await;
        }
        let began = runtime.now();
        let class = self.0.class(request.method(), request.uri().path());
        let response = self.answered(request, peer).await;
        let took = runtime.now().since(began);
        let answered = Answered::of(class, response.status(), response.headers());
        if let Some(durations) = durations {
            durations.count(answered, took);
        }
        if let Some(ledger) = ledger
            && let Some(hour) = ledger.count(answered, took, runtime.wall())
        {
            let Summary {
                from,
                span_s,
                all: figures,
                ..
            } = hour;
            tracing::info!(from, span_s, ?figures, "an hour is over");
        }
        response
    }
}

impl Gateway {
    async fn answered(&self, request: Request<Incoming>, peer: Peer) -> Response<Body<Native>> {
        let Parts {
            assets,
            health,
            marks,
            sessions,
            limits,
            own,
            mode,
            live,
            trusted,
            stall,
            largest,
            runtime,
            ..
        } = &*self.0;
        let Peer { address, secure } = peer;
        let is_trusted = trusted.iter().any(|network| network.contains(&address));
        let client = Client {
            address: Some(address),
            trusted: is_trusted,
            secure: secure || is_trusted && says_secure(request.headers()),
        };
        let address = if is_trusted {
            client_address(address, request.headers(), trusted)
        } else {
            address
        };
        let sessions = sessions.as_ref();
        let presented = sessions.and_then(|sessions| sessions.presented(request.headers()));
        let who = sessions::who(presented.as_ref());
        let counted = limits.as_ref().and_then(|limits| {
            let path = request.uri().path();
            limits.count(request.method(), path, (address, who), runtime.now())
        });
        if let Some(refused) = counted.and_then(|counted| counted.refused()) {
            return refused;
        }
        if request.uri().path().starts_with(OWN) {
            return Box::pin(own.answer(request, client)).await;
        }
        if let Some(health) = health
            && Health::takes(request.method(), request.uri().path())
        {
            return health.answer(request.method());
        }
        if let Some(live) = live
            && Live::takes(request.uri().path())
        {
            return Box::pin(live.answer(request, address)).await;
        }
        if request.body().size_hint().lower() > *largest {
            return refusal(
                StatusCode::PAYLOAD_TOO_LARGE,
                "The body of the request is too large.",
            );
        }
        let began = runtime.now();
        let mut request = request.map(|body| Paced::new(body, *runtime, *stall, *largest));
        if let Some((sessions, presented)) = sessions.zip(presented.as_ref()) {
            sessions.ask(presented, &mut request);
        }
        let file = assets.as_ref().zip(asset_address(request.uri()));
        let mut response = match (mode, file) {
            (_, Some((assets, address))) => {
                *request.uri_mut() = address;
                assets.handle(request, client).await
            }
            (Mode::Proxy(proxy), _) => proxy.handle(request, client).await,
            (Mode::Pitchey(site), _) => site.handle(request, client).await,
        };
        if let Some((sessions, presented)) = sessions.zip(presented) {
            sessions.learn(presented, &mut response);
        }
        if let Some(counted) = counted {
            counted.tell(response.headers_mut());
        }
        if let Some(marks) = marks {
            marks.leave(response.headers_mut(), runtime.now().since(began));
        }
        response
    }
}
