//! What is the edge's own, under `/__edge/`: its health for whoever asks, the rest for operators.

use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use pitchey_edge::desk::{self, Ask, Desk, Refused, Status};
use pitchey_edge::figures::Ledger;
use pitchey_edge::{Body, Client, Platform as _, Store as _};
use pitchey_runtime::{Clock as _, Monotonic, SystemRuntime, timeout};
use serde_json::json;

use crate::config::Config;
use crate::live::Live;
use crate::native::Native;
use crate::paced::{Paced, TooLarge};
use crate::serve::Mode;

/// What its addresses begin with.
pub(crate) const OWN: &str = "/__edge/";

/// How long the whole body of a request may take: it is small.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// What answers for the edge itself.
pub(crate) struct Own {
    desk: Desk,
    mode: Mode,
    live: Option<Live>,
    ledger: Option<Arc<Ledger>>,
    began: Monotonic,
    runtime: SystemRuntime,
}

impl Own {
    pub(crate) fn new(
        config: &Config,
        mode: Mode,
        live: Option<Live>,
        ledger: Option<Arc<Ledger>>,
        runtime: SystemRuntime,
    ) -> Self {
        Self {
            desk: Desk::new(config.desk.secret(), runtime.wall()),
            mode,
            live,
            ledger,
            began: runtime.now(),
            runtime,
        }
    }

    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        client: Client,
    ) -> Response<Body<Native>> {
        if request.uri().path() == "/__edge/health" {
            return self.health();
        }
        match self.heard(request).await {
            Ok(ask) => self.done(ask, client).await,
            Err(refused) => {
                if refused != Refused::NotHere {
                    tracing::warn!(peer = client.address.map(tracing::field::display), %refused, "an operator is refused");
                }
                refused.answer()
            }
        }
    }

    fn health(&self) -> Response<Body<Native>> {
        let (entries, bytes) = self.size();
        let attached = match &self.mode {
            Mode::Proxy(_) => None,
            Mode::Pitchey(site) => Some(site.hearing().attached),
        };
        let health = json!({
            "status": "ok", "entries": entries, "bytes": bytes, "attached": attached,
        });
        desk::answer(StatusCode::OK, &health)
    }

    fn size(&self) -> (u64, u64) {
        match &self.mode {
            Mode::Proxy(proxy) => proxy.platform().store().size(),
            Mode::Pitchey(site) => site.size(),
        }
    }

    async fn heard(&self, request: Request<Incoming>) -> Result<Ask, Refused> {
        let (parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
        let now = self.runtime.wall();
        let admitted = self
            .desk
            .admit(&parts.method, target, &parts.headers, now)?;
        let largest = u64::try_from(desk::MAX_BODY).unwrap_or(u64::MAX);
        let declared = parts.headers.get(CONTENT_LENGTH);
        let declared = declared.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|length| length > largest) {
            return Err(Refused::TooLarge);
        }
        let body = Paced::new(body, self.runtime, BODY_WITHIN, largest);
        let read = timeout(&self.runtime, BODY_WITHIN, body.collect()).await;
        let body = match read {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<TooLarge>() => return Err(Refused::TooLarge),
            Ok(Err(_)) | Err(_) => return Err(Refused::Broken),
        };
        self.desk.open(&admitted, &body, self.runtime.wall())
    }

    async fn done(&self, ask: Ask, client: Client) -> Response<Body<Native>> {
        match ask {
            Ask::Status => desk::answer(StatusCode::OK, &self.status()),
            Ask::Figures => {
                let told = self
                    .ledger
                    .as_ref()
                    .map(|ledger| ledger.told(self.runtime.wall()));
                desk::answer(StatusCode::OK, &told)
            }
            Ask::Routes => {
                let routes = match &self.mode {
                    Mode::Proxy(_) => Vec::new(),
                    Mode::Pitchey(site) => site.routes(),
                };
                desk::answer(StatusCode::OK, &routes)
            }
            Ask::Purge(purge) => {
                tracing::info!(
                    peer = client.address.map(tracing::field::display), tags = ?purge.tags, keys = ?purge.keys,
                    prefixes = ?purge.prefixes, "an operator purges"
                );
                let purged = match &self.mode {
                    Mode::Proxy(proxy) => proxy.purge(&purge).await,
                    Mode::Pitchey(site) => site.purge(&purge).await,
                };
                match purged {
                    Ok(purged) => desk::answer(StatusCode::OK, &purged),
                    Err(why) => {
                        tracing::warn!(?why, "a purge is not done");
                        why.answer()
                    }
                }
            }
            Ask::Warm(warm) => {
                let paths = warm.paths.len();
                tracing::info!(
                    peer = client.address.map(tracing::field::display),
                    paths,
                    "an operator warms"
                );
                let warmed = match &self.mode {
                    Mode::Proxy(proxy) => proxy.warm(&warm, client).await,
                    Mode::Pitchey(site) => site.warm(&warm, client).await,
                };
                desk::answer(StatusCode::OK, &warmed)
            }
        }
    }

    fn status(&self) -> Status {
        let (entries, bytes) = self.size();
        let (mode, hearing) = match &self.mode {
            Mode::Proxy(_) => ("proxy", None),
            Mode::Pitchey(site) => ("pitchey", Some(site.hearing())),
        };
        let live = self.live.as_ref().map(Live::connections);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode: mode.to_owned(),
            up_s: self.runtime.now().since(self.began).as_secs(),
            entries,
            bytes,
            hearing,
            live: live.and_then(|count| u64::try_from(count).ok()),
        }
    }
}
