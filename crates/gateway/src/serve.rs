//! Putting the parts together, and taking them apart in order.

use std::net::IpAddr;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use ipnet::IpNet;
use pitchey_edge::{Body, Client, Marks, Proxy, Settings, refusal};
use pitchey_http_cache::Options;
use pitchey_process::client_address::client_address;
use pitchey_runtime::{Clock as _, Random as _, SystemRuntime};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ms};
use crate::health::Health;
use crate::limits::Limits;
use crate::live::Live;
use crate::native::Native;
use crate::own::{OWN, Own};
use crate::paced::Paced;
use crate::pitchey::{self, NativeSite};
use crate::regions::Regional;
use crate::server::{self, Answers};

/// How long the end waits for what goes on behind the answers.
const BEHIND: Duration = Duration::from_secs(1);

/// Serves until `stop` is cancelled. Then the listener closes, and requests in flight finish within the
/// shutdown timeout.
pub async fn serve(
    listener: TcpListener,
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
        let settings = Settings {
            origin,
            name: "pitchey-edge".to_owned(),
            options: Options {
                seed: runtime.next_u64(),
                ..Options::default()
            },
            patience: ms(config.origin.response_timeout_ms),
        };
        Mode::Proxy(Proxy::new(platform.clone(), settings))
    };
    let health = match &mode {
        Mode::Pitchey(site) => Some(Health::new(&config, site.clone(), regional, runtime)?),
        Mode::Proxy(_) => None,
    };
    if let Some(health) = health.clone() {
        beside.spawn(health.run(stop.clone()));
    }
    let live = Live::new(&config, runtime, stop.clone())?;
    let service = Gateway(Arc::new(Parts {
        health,
        marks: (config.pitchey.enabled && config.headers.debug)
            .then(|| Marks::new(&config.headers.location)),
        limits: Limits::new(&config.limits).filter(|_| config.pitchey.enabled),
        own: Own::new(&config, mode.clone(), live.clone(), runtime),
        mode,
        live: live.clone(),
        trusted,
        stall: ms(config.http.stall_timeout_ms),
        largest: config.http.max_body_bytes,
        runtime,
    }));
    let address = listener.local_addr()?;
    tracing::info!(%address, origin = %config.origin.url, "listening");
    let cut = server::run(listener, service, &config.http, runtime, stop).await;
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
    health: Option<Health>,
    marks: Option<Marks>,
    limits: Option<Limits>,
    own: Own,
    mode: Mode,
    live: Option<Live>,
    trusted: Vec<IpNet>,
    stall: Duration,
    largest: u64,
    runtime: SystemRuntime,
}

impl Answers<Native> for Gateway {
    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Body<Native>> {
        let Parts {
            health,
            marks,
            limits,
            own,
            mode,
            live,
            trusted,
            stall,
            largest,
            runtime,
        } = &*self.0;
        let client = Client {
            address: Some(peer),
            trusted: trusted.iter().any(|network| network.contains(&peer)),
        };
        let address = if client.trusted {
            client_address(peer, request.headers(), trusted)
        } else {
            peer
        };
        let counted = limits.as_ref().and_then(|limits| {
            let path = request.uri().path();
            limits.count(request.method(), path, address, runtime.now())
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
        let request = request.map(|body| Paced::new(body, *runtime, *stall, *largest));
        let mut response = match mode {
            Mode::Proxy(proxy) => proxy.handle(request, client).await,
            Mode::Pitchey(site) => site.handle(request, client).await,
        };
        if let Some(counted) = counted {
            counted.tell(response.headers_mut());
        }
        if let Some(marks) = marks {
            marks.leave(response.headers_mut(), runtime.now().since(began));
        }
        response
    }
}
