//! Seeing one's own writes, where replicas that lag behind may answer reads.
//!
//! The answer to a write carries a position of the database's log that includes it, in a cookie; what the
//! same browser or program reads for a while after that has seen at least so much. The cookie is no secret
//! and not signed: a position that is made up costs the one who sends it a read of the primary.

use crate::ApiState;
use crate::cached::ReadAfter;
use crate::limits::Class;
use crate::site::Site;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use pitchey_model::WalPosition;
use pitchey_store::{FullStore, Store};
use std::convert::Infallible;

/// Browsers take it from the host itself alone, as the session's.
const COOKIE: &str = "__Host-position";

/// How long it is sent back, in seconds: no replica may lag longer and answer.
const LASTS_S: u32 = 60;

/// The state of the public reads, which have seen what the one who asks wrote last, or what a cache says
/// that they must.
pub(crate) struct Reading<S>(pub(crate) ApiState<S>);

impl<S: Store> FromRequestParts<ApiState<S>> for Reading<S> {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &ApiState<S>,
    ) -> Result<Self, Infallible> {
        let mut state = state.clone();
        let demanded = parts.extensions.get::<ReadAfter>();
        let demanded = demanded.map(|ReadAfter(position)| *position);
        if let Some(position) = demanded.max(of(&parts.headers)) {
            state.store = state.store.reading(Some(position));
        }
        Ok(Self(state))
    }
}

/// The position that a request came with: the greatest of several, and whatever is none is ignored.
pub(crate) fn of(headers: &HeaderMap) -> Option<WalPosition> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, value)| *name == COOKIE && value.len() <= WalPosition::MAX_LENGTH)
        .filter_map(|(_, value)| value.parse().ok())
        .max()
}

fn cookie(position: WalPosition) -> Option<HeaderValue> {
    let text =
        format!("{COOKIE}={position}; Max-Age={LASTS_S}; Path=/; Secure; HttpOnly; SameSite=Lax");
    HeaderValue::try_from(text).ok()
}

/// Tells whoever has changed something from which position on to read.
pub(crate) async fn tell<S: FullStore>(
    State(site): State<Site<S>>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let class = Class::of(request.method(), route.map(MatchedPath::as_str));
    let writes = !request.method().is_safe() && class != Class::Beacon;
    let mut response = next.run(request).await;
    if writes && response.status().is_success() {
        match site.api.store.written_position().await {
            Ok(Some(position)) => {
                if let Some(cookie) = cookie(position) {
                    response.headers_mut().append(header::SET_COOKIE, cookie);
                }
            }
            Ok(None) => {}
            // What was written is written; the reader may see it a little later.
            Err(error) => tracing::debug!(%error, "no position after a write"),
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Option<WalPosition> {
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = HeaderValue::from_str(line).expect("a header value");
            headers.append(header::COOKIE, line);
        }
        of(&headers)
    }

    #[test]
    fn what_was_told_is_read_again() {
        let position = WalPosition(0x16_B374_D848);
        let told = cookie(position).expect("plain ASCII");
        let told = told.to_str().expect("plain ASCII");
        assert_eq!(
            told,
            "__Host-position=16/B374D848; Max-Age=60; Path=/; Secure; HttpOnly; SameSite=Lax"
        );
        let pair = told.split(';').next().unwrap_or_default();
        assert_eq!(read(&[&format!("a=b; {pair}; c=d")]), Some(position));
    }

    #[test]
    fn the_greatest_counts_and_garbage_is_ignored() {
        assert_eq!(
            read(&[
                "__Host-position=0/1; __Host-position=0/3",
                "__Host-position=0/2"
            ]),
            Some(WalPosition(3))
        );
        for garbage in [
            "",
            "0",
            "0/",
            "x/1",
            "0/1/2",
            "-0/1",
            "000000000/1",
            "000000000000/000001",
        ] {
            assert_eq!(
                read(&[&format!("__Host-position={garbage}")]),
                None,
                "{garbage}"
            );
        }
        assert_eq!(read(&["position=0/1"]), None);
    }
}
