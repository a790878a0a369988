//! Asking an edge for what others will ask for.

use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream};
use http::header::{ACCEPT_ENCODING, HeaderValue};
use http::{Request, Response};
use http_body_util::BodyDataStream;
use pitchey_http_cache::CACHE_STATUS;
use pitchey_runtime::timeout;

use super::ask::{Warm, Warmed};
use crate::body::Body;
use crate::platform::Platform;

/// How many paths are asked for at once.
const AT_ONCE: usize = 8;

/// How long all of them may take together; what has not come by then is told so.
const WITHIN: Duration = Duration::from_mins(1);

/// Asks for all paths, in order, some at once.
pub(crate) async fn warm<P, F>(
    platform: &P,
    warm: &Warm,
    ask: impl Fn(Request<P::Upload>) -> F + Sync,
) -> Vec<Warmed>
where
    P: Platform,
    F: Future<Output = Response<Body<P>>> + Send,
{
    let until = platform.now() + WITHIN;
    let asking = warm.paths.iter().map(|path| {
        let request = request::<P>(path, &warm.accept_encoding);
        let asked = ask(request);
        async move {
            let began = platform.now();
            let left = until.since(began);
            let answered = timeout(platform, left, asked.then(whole)).await;
            let ms = platform.now().since(began).as_millis();
            let (status, cache, bytes) = answered.unwrap_or_default();
            Warmed {
                path: path.clone(),
                status,
                cache,
                bytes,
                ms: u64::try_from(ms).unwrap_or(u64::MAX),
            }
        }
        .boxed()
    });
    let asking: Vec<_> = asking.collect();
    stream::iter(asking).buffered(AT_ONCE).collect().await
}

fn request<P: Platform>(path: &str, accept_encoding: &str) -> Request<P::Upload> {
    let mut request = Request::new(P::Upload::default());
    // Both were looked at when they were read.
    *request.uri_mut() = path.parse().unwrap_or_default();
    if let Ok(coding) = HeaderValue::from_str(accept_encoding) {
        request.headers_mut().insert(ACCEPT_ENCODING, coding);
    }
    request
}

/// Reads an answer to its end, which stores it: status, what the cache says, length.
async fn whole<P: Platform>(response: Response<Body<P>>) -> (Option<u16>, Option<String>, u64) {
    let (parts, body) = response.into_parts();
    let mut lines = parts.headers.get_all(CACHE_STATUS).iter();
    let cache = lines.next_back().and_then(|line| line.to_str().ok());
    let cache = cache.map(ToOwned::to_owned);
    let mut bytes = 0;
    let mut pieces = BodyDataStream::new(body);
    while let Some(piece) = pieces.next().await {
        let Ok(piece) = piece else {
            return (None, cache, bytes);
        };
        bytes += u64::try_from(piece.len()).unwrap_or_default();
    }
    (Some(parts.status.as_u16()), cache, bytes)
}
