//! The Cache API, as what the isolates of a data centre share.
//!
//! What is put there is ours alone, under addresses of ours: the platform sees bytes that may be kept for a
//! while, and decides nothing by the rules of HTTP.

use std::time::Duration;

use bytes::Bytes;
use js_sys::{Promise, Uint8Array};
use pitchey_edge::{Nearby, Unheard};
use send_wrapper::SendWrapper;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::JsFuture;

use crate::config::Config;

#[wasm_bindgen(raw_module = "./objects.js")]
extern "C" {
    /// What is there, or null; `false` if that cannot be said.
    #[wasm_bindgen(js_name = cacheGet)]
    fn cache_get(place: &str, key: &str, largest: f64, patience: u32) -> Promise;

    /// Whether it was taken, for so many seconds.
    #[wasm_bindgen(js_name = cachePut)]
    fn cache_put(place: &str, key: &str, value: Uint8Array, seconds: f64, patience: u32)
    -> Promise;

    /// Whether it is gone.
    #[wasm_bindgen(js_name = cacheDelete)]
    fn cache_delete(place: &str, key: &str, patience: u32) -> Promise;
}

/// One part of the cache of this data centre.
#[derive(Debug)]
pub(crate) struct CacheApi {
    place: String,
    largest: f64,
    patience_ms: u32,
}

impl CacheApi {
    /// What is called so, if the configuration names a host. It takes bodies up to the largest one that is kept, in
    /// as many codings as clients may ask for.
    pub(crate) fn new(config: &Config, name: &str) -> Option<Self> {
        let shared = config.shared.as_ref()?;
        // Beside the paths of no site: `/__edge/` is the edge's own.
        let place = format!("https://{}/__edge/kept/{name}/", shared.host);
        #[expect(clippy::cast_precision_loss, reason = "no body is as long")]
        let largest = ((config.largest_body_kib << 10) * 4 + (1 << 20)) as f64;
        Some(Self {
            place,
            largest,
            patience_ms: shared.timeout_ms,
        })
    }
}

impl Nearby for CacheApi {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Unheard> {
        let getting = cache_get(&self.place, key, self.largest, self.patience_ms);
        let value = SendWrapper::new(JsFuture::from(getting)).await;
        let value = value.map_err(|_| Unheard)?;
        if value == JsValue::FALSE {
            Err(Unheard)
        } else if value.is_null() {
            Ok(None)
        } else {
            Ok(Some(Uint8Array::from(value).to_vec().into()))
        }
    }

    async fn put(&self, key: &str, value: Bytes, lasting: Duration) -> Result<(), Unheard> {
        #[expect(clippy::cast_precision_loss, reason = "no body is as long")]
        if value.len() as f64 > self.largest {
            // It could not be read again; and what is there is older.
            return self.remove(key).await;
        }
        let value = Uint8Array::from(&*value);
        let seconds = lasting.as_secs_f64();
        done(cache_put(
            &self.place,
            key,
            value,
            seconds,
            self.patience_ms,
        ))
        .await
    }

    async fn remove(&self, key: &str) -> Result<(), Unheard> {
        done(cache_delete(&self.place, key, self.patience_ms)).await
    }
}

fn done(promise: Promise) -> impl Future<Output = Result<(), Unheard>> + Send {
    let doing = SendWrapper::new(JsFuture::from(promise));
    async move {
        match doing.await {
            Ok(done) if done == JsValue::TRUE => Ok(()),
            _ => Err(Unheard),
        }
    }
}
