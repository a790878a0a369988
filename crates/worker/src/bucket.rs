//! R2, as the store of static files.

use js_sys::{Array, Promise};
use pitchey_edge::{FetchError, Objects, Opened, Wanted};
use send_wrapper::SendWrapper;
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::JsFuture;

use crate::body::{Download, said};

#[wasm_bindgen(raw_module = "./objects.js")]
extern "C" {
    /// What R2 says: an array of `missing`; of `unwanted`; of `found`, tag, length and body or null; or of
    /// `timeout` or `failed` and what was said about it. A part is named by its tag, first byte and length.
    #[wasm_bindgen(js_name = r2Open)]
    fn r2_open(
        name: &str,
        head: bool,
        tag: Option<&str>,
        first: f64,
        length: f64,
        patience: u32,
    ) -> Promise;
}

/// The binding `ASSETS`.
pub(crate) struct Bucket {
    /// How long a call may take until its answer begins.
    pub(crate) patience_ms: u32,
    /// How long its body may pause.
    pub(crate) stall_ms: u32,
}

impl Objects for Bucket {
    type Body = Download;

    #[expect(clippy::cast_precision_loss, reason = "no object is as long")]
    async fn open(&self, name: &str, wanted: Wanted<'_>) -> Result<Opened<Download>, FetchError> {
        let (head, tag, first, part) = match wanted {
            Wanted::Head => (true, None, 0, 0),
            Wanted::Whole { known } => (false, known, 0, 0),
            Wanted::Part { tag, first, length } => (false, Some(tag), first, length),
        };
        let asking = r2_open(name, head, tag, first as f64, part as f64, self.patience_ms);
        let told = SendWrapper::new(JsFuture::from(asking)).await;
        let told = told.map_err(|error| FetchError::Failed(said(&error).into()))?;
        let told: Array = told.unchecked_into();
        let text = |place| told.get(place).as_string().unwrap_or_default();
        match &*text(0) {
            "missing" => Ok(Opened::Missing),
            "unwanted" => Ok(Opened::Unwanted),
            "found" => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "JavaScript's lengths are whole numbers"
                )]
                let length = told.get(2).as_f64().unwrap_or_default() as u64;
                let stream = told.get(3);
                let stream = (!stream.is_null()).then(|| stream.unchecked_into());
                let comes = if part > 0 { part } else { length };
                Ok(Opened::Found {
                    tag: text(1),
                    length,
                    body: Download::new(stream, Some(comes), self.stall_ms),
                })
            }
            "timeout" => Err(FetchError::Timeout),
            _ => Err(FetchError::Failed(text(1).into())),
        }
    }
}
