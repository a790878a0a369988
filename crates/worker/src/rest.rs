//! Redis over HTTP, as the tier that all isolates share.

use std::time::Duration;

use bytes::Bytes;
use js_sys::Array;
use pitchey_tier_scripts::Scripted;
use pitchey_tier_scripts::rest::{Post, PostError, Rest, RestConfig};
use send_wrapper::SendWrapper;
use wasm_bindgen::JsCast as _;
use wasm_bindgen_futures::JsFuture;

use crate::body::said;
use crate::config::Config;
use crate::glue;
use crate::platform::Workers;

/// The tier.
pub(crate) type RestTier = Scripted<Rest<Poster, Workers>>;

/// How long a purge may walk over all keys.
const SWEEP: Duration = Duration::from_secs(20);

/// Posts to the one address with its token.
pub(crate) struct Poster {
    url: String,
    authorization: String,
    largest: f64,
}

/// The tier that the configuration names, if it names one.
pub(crate) fn tier(config: &Config, platform: &Workers) -> Option<RestTier> {
    let redis = config.redis.as_ref()?;
    let largest = config.largest_body_kib << 10;
    let max_payload = usize::try_from(largest * 2).unwrap_or(usize::MAX);
    #[expect(clippy::cast_precision_loss, reason = "no body is as long")]
    let largest = (largest * 4 + (1 << 16)) as f64;
    let poster = Poster {
        url: redis.url.clone(),
        authorization: format!("Bearer {}", redis.token),
        // Base64 of base64, and what stands around it.
        largest,
    };
    let settings = RestConfig {
        prefix: redis.prefix.clone(),
        call_timeout: Duration::from_millis(redis.timeout_ms.into()),
        sweep_timeout: SWEEP,
        max_payload,
    };
    Some(Scripted::new(Rest::new(poster, settings, platform.clone())))
}

impl Post for Poster {
    async fn post(&self, body: String, patience: Duration) -> Result<(u16, Bytes), PostError> {
        let patience = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        let posting = glue::post(
            &self.url,
            &self.authorization,
            &body,
            self.largest,
            patience,
        );
        let told = SendWrapper::new(JsFuture::from(posting)).await;
        let told: Array = told
            .map_err(|error| PostError::Failed(said(&error)))?
            .unchecked_into();
        let text = told.get(1).as_string().unwrap_or_default();
        match told.get(0).as_f64() {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "JavaScript's statuses are small whole numbers"
            )]
            Some(status) if status > 0.0 => Ok((status as u16, text.into())),
            _ if text == "timeout" => Err(PostError::Timeout),
            _ => Err(PostError::Failed(text)),
        }
    }
}
