//! What pages report: views, measurements, events. Taken in at once, written behind the answer.

use crate::body::{Fields, NoBody};
use crate::extract::{Id, MaybeSigned, NoQuery};
use crate::problem::{BodyProblems, Problem, ReadProblems, SignedProblems};
use crate::site::{ClientAddress, Site};
use axum::Extension;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use pitchey_model::{PitchId, RumMetric};
use pitchey_store::FullStore;
use pitchey_store::accounts::Session;
use pitchey_store::intake::{AnalyticsEvent, RumSample, View};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The most that one beacon reports.
const MAX_ENTRIES: usize = 50;
/// The most bytes of what an event says beside.
const MAX_PAYLOAD: usize = 4096;

/// What a browser measured.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what `rum` reads")]
pub(crate) struct RumBeacon {
    #[schema(min_items = 1, max_items = 50)]
    samples: Vec<RumEntry>,
}

/// One measurement.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what `rum` reads")]
pub(crate) struct RumEntry {
    metric: RumMetric,
    /// In milliseconds; of `cls` without a unit.
    #[schema(minimum = 0, exclusive_maximum = 600_000)]
    value: f64,
    /// The kind of page, as `/pitches/{id}`.
    #[schema(min_length = 1, max_length = 128)]
    route: String,
    /// As `4g`.
    #[schema(max_length = 16, nullable = false)]
    connection: Option<String>,
}

/// What happened on pages.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what `events` reads")]
pub(crate) struct EventBeacon {
    #[schema(min_items = 1, max_items = 50)]
    events: Vec<EventEntry>,
}

/// One event.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents what `events` reads")]
pub(crate) struct EventEntry {
    #[schema(pattern = "^[a-z][a-z0-9_.]{0,63}$")]
    kind: String,
    #[schema(nullable = false)]
    pitch_id: Option<PitchId>,
    #[schema(max_length = 512, nullable = false)]
    path: Option<String>,
    /// At most 4,096 bytes as JSON.
    #[schema(nullable = false)]
    payload: Option<Map<String, Value>>,
}

/// Say that a pitch was looked at
///
/// Counted once for each viewer and day; the counts are some seconds behind.
#[utoipa::path(
    post, path = "/api/pitches/{id}/view", tag = "beacons",
    params(("id" = PitchId, Path, description = "The pitch")),
    responses(
        (status = 204, description = "Taken in"),
        ReadProblems, SignedProblems, BodyProblems,
    )
)]
pub(crate) async fn view<S: FullStore>(
    State(site): State<Site<S>>,
    MaybeSigned(session): MaybeSigned,
    Id(pitch): Id<PitchId>,
    _: NoQuery,
    address: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    let view = View {
        pitch,
        viewer: who(&site, session.as_deref(), address, &headers),
        at: site.now(),
    };
    site.shared.counters.view(view);
    Ok(StatusCode::NO_CONTENT)
}

/// Report measurements of a page
#[utoipa::path(
    post, path = "/api/analytics/rum", tag = "beacons",
    request_body = RumBeacon,
    responses(
        (status = 204, description = "Taken in"),
        ReadProblems, SignedProblems, BodyProblems,
    )
)]
pub(crate) async fn rum<S: FullStore>(
    State(site): State<Site<S>>,
    _: NoQuery,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<StatusCode, Problem> {
    let at = site.now();
    let edge_location = edge_location(&headers);
    let samples = fields.required_array("samples", MAX_ENTRIES, |samples, name| {
        samples.object(name, |sample| {
            let metric = sample.required_word::<RumMetric>("metric");
            let value = sample.required_number("value", 0.0..600_000.0);
            let route = sample.required_line("route", 128);
            let connection = sample.line("connection", 16);
            let ((metric, value), route) = metric.zip(value).zip(route)?;
            Some(RumSample {
                id: site.new_id(),
                at,
                metric,
                value,
                route,
                edge_location: edge_location.clone(),
                connection: connection.unwrap_or_default(),
            })
        })
    });
    let samples = fields.give(samples)?;
    site.shared.counters.rum(samples);
    Ok(StatusCode::NO_CONTENT)
}

/// Report what happened on pages
#[utoipa::path(
    post, path = "/api/analytics/events", tag = "beacons",
    request_body = EventBeacon,
    responses(
        (status = 204, description = "Taken in"),
        ReadProblems, SignedProblems, BodyProblems,
    )
)]
pub(crate) async fn events<S: FullStore>(
    State(site): State<Site<S>>,
    MaybeSigned(session): MaybeSigned,
    _: NoQuery,
    address: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<StatusCode, Problem> {
    let at = site.now();
    let client = who(&site, None, address, &headers);
    let user = session.as_ref().map(|session| session.actor.id);
    let events = fields.required_array("events", MAX_ENTRIES, |events, name| {
        events.object(name, |event| {
            let kind = event.required_line("kind", 64);
            if kind.as_ref().is_some_and(|kind| !is_kind(kind)) {
                event.fail("kind", "malformed", "must match ^[a-z][a-z0-9_.]{0,63}$");
            }
            let pitch = event.uuid("pitch_id").map(PitchId);
            let path = event.line("path", 512);
            let payload = payload(event);
            Some(AnalyticsEvent {
                id: site.new_id(),
                at,
                kind: kind?,
                user,
                pitch,
                client,
                path: path.unwrap_or_default(),
                payload,
            })
        })
    });
    let events = fields.give(events)?;
    site.shared.counters.events(events);
    Ok(StatusCode::NO_CONTENT)
}

fn is_kind(kind: &str) -> bool {
    kind.starts_with(|c: char| c.is_ascii_lowercase())
        && kind
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.'))
}

/// What an event says beside, as text. NUL has no place in the database's text.
fn payload(event: &mut Fields) -> String {
    let text = match event.take("payload") {
        None => return "{}".to_owned(),
        Some(value @ Value::Object(_)) => value.to_string(),
        Some(_) => {
            event.fail("payload", "type", "must be an object");
            return String::new();
        }
    };
    if text.len() > MAX_PAYLOAD {
        let detail = format!("must have at most {MAX_PAYLOAD} bytes, has {}", text.len());
        event.fail("payload", "too_long", detail);
    }
    if text.contains("\\u0000") {
        event.fail("payload", "control_character", "must not contain U+0000");
    }
    text
}

/// The account, or else the client: who looked, without saying who.
fn who<S>(
    site: &Site<S>,
    session: Option<&Session>,
    address: Option<Extension<ClientAddress>>,
    headers: &HeaderMap,
) -> [u8; 16] {
    match session {
        Some(session) => site.viewer(session.actor.id.0.as_bytes()),
        None => {
            let address = address.map(|Extension(ClientAddress(ip))| ip.to_string());
            let agent = crate::extract::user_agent(headers);
            site.viewer(format!("{}\n{agent}", address.unwrap_or_default()).as_bytes())
        }
    }
}

/// Through which location of the edge the beacon came, as the edge says.
fn edge_location(headers: &HeaderMap) -> String {
    let text = headers
        .get("x-edge-location")
        .and_then(|value| value.to_str().ok());
    let text = text.unwrap_or_default();
    text.chars()
        .filter(char::is_ascii_alphanumeric)
        .take(16)
        .collect()
}
