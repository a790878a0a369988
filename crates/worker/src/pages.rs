//! Workers KV, as the store that is everywhere and a little behind.

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use js_sys::{Array, Uint8Array};
use pitchey_edge::Far;
use send_wrapper::SendWrapper;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::glue;

/// The binding `PAGES`.
pub(crate) struct Kv {
    patience_ms: u32,
}

impl Kv {
    /// Each call has so much time.
    pub(crate) fn new(patience_ms: u32) -> Self {
        Self { patience_ms }
    }
}

impl Far for Kv {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<Bytes>> {
        let getting = SendWrapper::new(JsFuture::from(glue::kv_get(key, self.patience_ms)));
        Box::pin(async move {
            let value = getting.await.ok().filter(|value| !value.is_null())?;
            Some(Bytes::from(Uint8Array::from(value).to_vec()))
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Option<Vec<String>>> {
        let listing = SendWrapper::new(JsFuture::from(glue::kv_list(prefix, self.patience_ms)));
        Box::pin(async move {
            let names = listing.await.ok().filter(|names| !names.is_null())?;
            let names: Array = names.unchecked_into();
            Some(names.iter().filter_map(|name| name.as_string()).collect())
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, lasting: Duration) -> BoxFuture<'a, bool> {
        let value = Uint8Array::from(&*value);
        let seconds = u32::try_from(lasting.as_secs()).unwrap_or(u32::MAX);
        let putting = glue::kv_put(key, value, seconds, self.patience_ms);
        let putting = SendWrapper::new(JsFuture::from(putting));
        Box::pin(async move { putting.await.is_ok_and(|taken| taken == JsValue::TRUE) })
    }
}
