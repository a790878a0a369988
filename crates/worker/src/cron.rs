//! What a timer of Workers has the edge do, every five minutes.

use pitchey_edge::Client;
use pitchey_edge::desk::Warm;
use pitchey_edge::figures::Collector;
use pitchey_edge::health::{Asking, HEALTH, Health, News};
use pitchey_runtime::Random as _;
use std::sync::Arc;
use std::time::Duration;

use js_sys::Promise;
use time::OffsetDateTime;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::future_to_promise;

use crate::answer::{Edge, Mode, edge};
use crate::config::Config;
use crate::duties::warms;
use crate::glue;
use crate::pages::Kv;
use crate::platform::Workers;
use crate::rooms::Realtime;
use crate::scope::Scope;

/// Whom the edge asks how they are: the origin, the hub if there is one, the tier, and whom the variables name.
pub(crate) fn health(config: &Config, platform: &Workers, mode: &Mode) -> Option<Health<Workers>> {
    let Mode::Pitchey(site) = mode else {
        return None;
    };
    let mut targets = vec![("origin".to_owned(), at(&config.origin, HEALTH)?)];
    if let Some(Realtime::Elsewhere(hub)) = &config.realtime {
        targets.push(("hub".to_owned(), at(hub, "/healthz")?));
    }
    if let Some(probe) = site.tier_probe() {
        targets.push(("redis".to_owned(), Asking::By(probe)));
    }
    let more = config.duties.targets.iter().cloned();
    targets.extend(more.map(|(name, uri)| (name, Asking::Http(uri))));
    let patience = Duration::from_millis(config.duties.patience_ms.into());
    Some(Health::new(platform.clone(), targets, patience))
}

fn at(url: &http::Uri, path: &str) -> Option<Asking> {
    let uri = format!("{}{path}", url.to_string().trim_end_matches('/'));
    uri.parse().ok().map(Asking::Http)
}

/// What the edge counts, if there is a place for it.
pub(crate) fn collector(config: &Config, platform: &Workers) -> Option<Collector> {
    let kv = config.kv.filter(|_| config.pitchey.is_some())?;
    let name = format!("{:016x}", platform.next_u64());
    Some(Collector::new(Arc::new(Kv::new(kv.timeout_ms)), name))
}

/// Tells the operator.
pub(crate) const TELL: News<'static> = &|name, status, was| {
    glue::log(&format!(
        "a probe tells news: {name} is {status:?}, was {was:?}"
    ));
};

/// Does what is due at this moment, in milliseconds since 1970. What could not be done is logged, and is tried the
/// next time.
#[wasm_bindgen]
pub fn scheduled(at_ms: f64, context: glue::Context) -> Promise {
    let scope = Scope::new(context);
    let at = Duration::try_from_secs_f64(at_ms / 1000.0).unwrap_or_default();
    let at = OffsetDateTime::UNIX_EPOCH + at;
    future_to_promise(scope.scoped(async move {
        if let Some(edge) = edge() {
            edge.duties(at).await;
        }
        Ok(JsValue::UNDEFINED)
    }))
}

impl Edge {
    async fn duties(&self, at: OffsetDateTime) {
        let Mode::Pitchey(site) = &self.mode else {
            return;
        };
        let mut parts = Vec::new();
        if let Some(health) = &self.health {
            health.ask(TELL).await;
            let known = health.known();
            parts.extend(known.map(|(name, status)| (name.to_owned(), status)));
        }
        if let Some(collector) = &self.collector
            && !collector.add_up(at, &parts).await
        {
            glue::log("what isolates have counted is not added up: KV does not answer");
        }
        if warms(at) && !self.config.duties.warm.is_empty() {
            let warm = Warm::new(self.config.duties.warm.clone());
            let client = Client {
                address: None,
                trusted: false,
                secure: true,
            };
            let warmed = site.warm(&warm, client).await;
            for one in warmed.iter().filter(|one| !one.is_well()) {
                glue::log(&format!("not warmed: {} ({:?})", one.path, one.status));
            }
        }
    }
}
