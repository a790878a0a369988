//! What is the edge's own, under `/__edge/`: its health for whoever asks, the rest for operators.

use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderMap;
use http::uri::PathAndQuery;
use http::{Method, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use pitchey_edge::desk::{self, Ask, Desk, Refused, Status};
use pitchey_edge::{Body, Client, Platform as _, Store as _};
use pitchey_runtime::{Clock as _, Monotonic, timeout};
use serde_json::json;
use time::OffsetDateTime;

use crate::answer::{Edge, Mode};
use crate::body::Download;
use crate::config::Config;
use crate::glue;
use crate::meter::METER;
use crate::platform::{Workers, length};

/// What its addresses begin with.
pub(crate) const OWN: &str = "/__edge/";

/// How long the whole body of a request may take: it is small.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// How much of a body that is too large is read all the same.
const MOST_DISCARDED: usize = 1 << 20;

/// What answers for the edge itself.
pub(crate) struct Own {
    desk: Desk,
    began: Monotonic,
    patience_ms: u32,
}

/// A request for it.
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<glue::Stream>,
}

impl Own {
    pub(crate) fn new(config: &Config, platform: &Workers) -> Self {
        Self {
            // Isolates come and go: what was signed before this one began may be meant for it.
            desk: Desk::new(config.desk.clone(), OffsetDateTime::UNIX_EPOCH),
            began: platform.now(),
            patience_ms: config.stall_timeout_ms,
        }
    }

    pub(crate) async fn answer(
        &self,
        edge: &Edge,
        asked: Asked,
        client: Client,
    ) -> Response<Body<Workers>> {
        let Edge { mode, platform, .. } = edge;
        if asked.uri.path() == "/__edge/health" {
            let (entries, bytes) = size(mode);
            // It hears nothing, so there is nothing to be attached to.
            let health = json!({
                "status": "ok", "entries": entries, "bytes": bytes, "attached": null,
            });
            return desk::answer(StatusCode::OK, &health);
        }
        match self.heard(mode, platform, asked).await {
            Ok(ask) => self.done(edge, ask, client).await,
            Err(refused) => {
                if refused != Refused::NotHere {
                    glue::log(&format!("an operator is refused: {refused}"));
                }
                refused.answer()
            }
        }
    }

    async fn heard(&self, mode: &Mode, platform: &Workers, asked: Asked) -> Result<Ask, Refused> {
        let Asked {
            method,
            uri,
            headers,
            body,
        } = asked;
        let target = uri.path_and_query().map_or("", PathAndQuery::as_str);
        let admitted = self
            .desk
            .admit(&method, target, &headers, platform.wall())?;
        let declared = length(&headers);
        let largest = u64::try_from(desk::MAX_BODY).unwrap_or(u64::MAX);
        let too_large = declared.is_some_and(|length| length > largest);
        let body = Download::new(body, declared, self.patience_ms);
        if too_large {
            // Who is cut off while sending may never read why.
            let reading = Limited::new(body, MOST_DISCARDED).collect();
            let _ = timeout(platform, BODY_WITHIN, reading).await;
            return Err(Refused::TooLarge);
        }
        let reading = Limited::new(body, desk::MAX_BODY).collect();
        let body: Bytes = match timeout(platform, BODY_WITHIN, reading).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(Refused::TooLarge);
            }
            Ok(Err(_)) | Err(_) => return Err(Refused::Broken),
        };
        let opened = self.desk.open(&admitted, &body, platform.wall());
        METER.with(|meter| meter.sign.called(body.len(), opened.is_ok()));
        let ask = opened?;
        if let Mode::Pitchey(site) = mode
            && site.hears_first(admitted.nonce()).await == Some(false)
        {
            return Err(Refused::Replayed);
        }
        Ok(ask)
    }

    async fn done(&self, edge: &Edge, ask: Ask, client: Client) -> Response<Body<Workers>> {
        let Edge { mode, platform, .. } = edge;
        match ask {
            Ask::Figures => {
                let told = match &edge.collector {
                    Some(collector) => Some(collector.told(platform.wall()).await),
                    None => None,
                };
                desk::answer(StatusCode::OK, &told)
            }
            Ask::Status => desk::answer(StatusCode::OK, &self.status(mode, platform)),
            Ask::Routes => {
                let routes = match mode {
                    Mode::Proxy(_) => Vec::new(),
                    Mode::Pitchey(site) => site.routes(),
                };
                desk::answer(StatusCode::OK, &routes)
            }
            Ask::Purge(purge) => {
                glue::log(&format!("an operator purges: {purge:?}"));
                let purged = match mode {
                    Mode::Proxy(proxy) => proxy.purge(&purge).await,
                    Mode::Pitchey(site) => site.purge(&purge).await,
                };
                match purged {
                    Ok(purged) => desk::answer(StatusCode::OK, &purged),
                    Err(why) => {
                        glue::log(&format!("a purge is not done: {why:?}"));
                        why.answer()
                    }
                }
            }
            Ask::Warm(warm) => {
                glue::log(&format!("an operator warms {} paths", warm.paths.len()));
                let warmed = match mode {
                    Mode::Proxy(proxy) => proxy.warm(&warm, client).await,
                    Mode::Pitchey(site) => site.warm(&warm, client).await,
                };
                desk::answer(StatusCode::OK, &warmed)
            }
        }
    }

    fn status(&self, mode: &Mode, platform: &Workers) -> Status {
        let (entries, bytes) = size(mode);
        let (name, hearing) = match mode {
            Mode::Proxy(_) => ("proxy", None),
            Mode::Pitchey(site) => ("pitchey", Some(site.hearing())),
        };
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode: name.to_owned(),
            up_s: platform.now().since(self.began).as_secs(),
            entries,
            bytes,
            hearing,
            live: None,
        }
    }
}

fn size(mode: &Mode) -> (u64, u64) {
    match mode {
        Mode::Proxy(proxy) => proxy.platform().store().size(),
        Mode::Pitchey(site) => site.size(),
    }
}
