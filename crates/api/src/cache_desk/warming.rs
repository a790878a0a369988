//! Loading public reads before they are asked for, through the router that answers them.

use super::{desk, note};
use crate::body::Fields;
use crate::cached::{Ready, Warming};
use crate::extract::{Client, NoQuery, Signed};
use crate::problem::{BodyProblems, MissingProblem, Problem, ReadProblems, SignedProblems};
use crate::site::Site;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::{Extension, Json, Router};
use futures::StreamExt as _;
use futures::stream;
use http::{StatusCode, Uri};
use pitchey_resilience::Deadline;
use pitchey_store::FullStore;
use pitchey_store::accounts::Operation;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tower::ServiceExt as _;
use utoipa::ToSchema;

/// The most addresses of one request.
const MAX_ADDRESSES: usize = 1000;

/// The longest address, in characters: what `finish` takes.
const MAX_ADDRESS: usize = 1000;

/// How many are loaded at a time: few, as nobody waits for them.
const AT_A_TIME: usize = 4;

/// What must be left of the request's time for one more load to be begun.
const MARGIN: Duration = Duration::from_millis(500);

/// The public reads behind the cache, for those who ask from inside. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PublicReads(pub(crate) Router);

impl PublicReads {
    /// Loads the answer at an address unless it is fresh; whether it is fresh now.
    pub async fn warm(&self, address: Uri) -> bool {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = address;
        request.extensions_mut().insert(Warming);
        let Ok(response) = self.0.clone().oneshot(request).await;
        response.status() == StatusCode::NO_CONTENT
    }

    /// The body of the answer at an address, if the cache has it or it can be loaded.
    pub async fn read(&self, address: Uri) -> Option<Bytes> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = address;
        let Ok(mut response) = self.0.clone().oneshot(request).await;
        let Ready(page) = response.extensions_mut().remove()?;
        Some(page.body.clone())
    }
}

/// What to load.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what `warm` reads")]
pub(crate) struct WarmRequest {
    /// Addresses of public reads, as `/api/pitches/trending?limit=20`.
    #[schema(min_items = 1, max_items = 1000)]
    addresses: Vec<String>,
}

/// What came of it.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct WarmedView {
    /// Are fresh now, or were.
    warm: u64,
    /// Could not be loaded, or somebody else is at them.
    not_warm: u64,
    /// Were not begun, as the time of the request was up: ask for them again.
    left_out: u64,
}

/// Load what will be asked for
///
/// What is fresh is left alone.
#[utoipa::path(
    post, path = "/api/cache/warm", tag = "operations",
    request_body = WarmRequest,
    responses(
        (status = 200, description = "How many are fresh", body = WarmedView),
        ReadProblems, SignedProblems, BodyProblems, MissingProblem,
    )
)]
pub(crate) async fn warm<S: FullStore>(
    State(site): State<Site<S>>,
    signed: Signed,
    Client(origin): Client,
    Extension(reads): Extension<PublicReads>,
    deadline: Option<Extension<Deadline>>,
    _: NoQuery,
    mut fields: Fields,
) -> Result<Json<WarmedView>, Problem> {
    desk(&site, &signed)?;
    let addresses = fields.required_array("addresses", MAX_ADDRESSES, |addresses, n| {
        let address = addresses.full_line(n, MAX_ADDRESS)?;
        let uri = address.parse::<Uri>().ok().filter(is_kept);
        if uri.is_none() {
            let detail = "must be the path and query of a public read whose answers are kept";
            addresses.fail(n, "unknown_value", detail);
        }
        uri
    });
    fields.finish()?;
    let addresses = addresses.unwrap_or_default();
    let names: Vec<String> = addresses.iter().map(Uri::to_string).collect();
    note(&site, &signed, Operation::cache_warm(&names), &origin).await?;
    let clock = &site.api.clock;
    let in_time = || {
        let deadline = deadline.as_ref().map(|Extension(deadline)| *deadline);
        deadline.is_none_or(|deadline| deadline.remaining(clock.now()) > MARGIN)
    };
    let loads = stream::iter(addresses).map(async |address| {
        if in_time() {
            Some(reads.warm(address).await)
        } else {
            None
        }
    });
    let mut loads = std::pin::pin!(loads.buffer_unordered(AT_A_TIME));
    let mut warmed = WarmedView::default();
    while let Some(outcome) = loads.next().await {
        *match outcome {
            Some(true) => &mut warmed.warm,
            Some(false) => &mut warmed.not_warm,
            None => &mut warmed.left_out,
        } += 1;
    }
    Ok(Json(warmed))
}

/// Whether answers at this address are kept, by its path; the router says it again.
fn is_kept(uri: &Uri) -> bool {
    if uri.scheme().is_some() || uri.authority().is_some() {
        return false;
    }
    let mut parts = uri.path().split('/');
    let is = |part: Option<&str>, name| part == Some(name);
    if !(is(parts.next(), "") && is(parts.next(), "api")) {
        return false;
    }
    match (parts.next(), parts.next(), parts.next()) {
        (Some("pitches" | "search"), None, None) => true,
        (Some("pitches" | "users"), Some(one), None) => !one.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_whose_answers_are_kept_are_warmed() {
        let kept = |text: &str| text.parse::<Uri>().is_ok_and(|uri| is_kept(&uri));
        for address in [
            "/api/pitches",
            "/api/pitches/trending?limit=20",
            "/api/pitches/00000000-0000-0000-0000-000000000064",
            "/api/search?q=film",
            "/api/users/ann",
        ] {
            assert!(kept(address), "{address}");
        }
        for address in [
            "",
            "/",
            "/api/health",
            "/api/pitches/",
            "/api/pitches/1/full",
            "/api/search/x",
            "https://example.org/api/pitches",
            "/api/users",
        ] {
            assert!(!kept(address), "{address}");
        }
    }
}
