//! Rooms that are told by HTTP: those of the edge on Workers, or of a hub that is alone.
//!
//! Each publication has an id, under which it is published once, so that whatever was not acknowledged can
//! be told again.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use pitchey_model::event::Event;
use pitchey_runtime::{Clock as _, SystemRuntime, timeout};
use pitchey_store_pg::OutboxEvent;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::config::RealtimeConfig;

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(1);

/// No request is begun after so long: what was told by then is to be marked in time.
const ROUND: Duration = Duration::from_millis(1500);

/// So many publications go in one request, and a little more: those of an event go together.
const PUBLICATIONS: usize = 500;

/// So many bytes, and a little more.
const BYTES: usize = 256 * 1024;

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 256 * 1024;

/// How long a connection is kept that nothing goes over.
const IDLE: Duration = Duration::from_secs(30);

/// Why something was not told.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// No answer came in time.
    #[error("the rooms do not answer in time")]
    Timeout,
    /// They are not there.
    #[error("the rooms cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// They are, and have not taken it.
    #[error("the rooms have answered with {0}")]
    Refused(StatusCode),
}

/// Rooms behind an address.
#[derive(Clone)]
pub struct HttpRooms {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    address: Uri,
    authorization: HeaderValue,
    runtime: SystemRuntime,
}

#[derive(Serialize)]
struct Publication {
    room: String,
    data: Box<RawValue>,
    id: String,
}

impl HttpRooms {
    /// Those that the configuration names, if it does.
    pub fn new(config: &RealtimeConfig, runtime: SystemRuntime) -> anyhow::Result<Option<Self>> {
        if config.publish_url.is_empty() {
            return Ok(None);
        }
        let address = format!("{}/publish", config.publish_url.trim_end_matches('/'));
        let secret = config.publish_key.expose_secret();
        let mut authorization = HeaderValue::try_from(format!("Bearer {secret}"))?;
        authorization.set_sensitive(true);
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(REQUEST));
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Ok(Some(Self {
            client,
            address: address.parse()?,
            authorization,
            runtime,
        }))
    }

    /// Tells events, in order. Gives how many of them are told, and why the next is not.
    pub async fn tell(&self, events: &[OutboxEvent]) -> (usize, Option<TellError>) {
        let begun = self.runtime.now();
        let (mut told, mut next, mut bytes) = (0, Vec::new(), 0);
        for (at, event) in events.iter().enumerate() {
            for publication in publications(event) {
                bytes += publication.data.get().len();
                next.push(publication);
            }
            let is_last = at + 1 == events.len();
            if next.len() < PUBLICATIONS && bytes < BYTES && !is_last {
                continue;
            }
            if self.runtime.now() - begun >= ROUND {
                return (told, Some(TellError::Timeout));
            }
            if !next.is_empty()
                && let Err(error) = self.publish(&next).await
            {
                return (told, Some(error));
            }
            told = at + 1;
            next.clear();
            bytes = 0;
        }
        (told, None)
    }

    async fn publish(&self, publications: &[Publication]) -> Result<(), TellError> {
        // Nothing in it fails to be JSON.
        let body = serde_json::to_vec(publications).unwrap_or_default();
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.address.clone();
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let asking = async {
            let answer = self.client.request(request).await;
            let answer = answer.map_err(|error| TellError::Unreachable(error.into()))?;
            let status = answer.status();
            // To the end, so that the connection can be used again.
            let _ = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
            if status == StatusCode::OK {
                Ok(())
            } else {
                Err(TellError::Refused(status))
            }
        };
        let answered = timeout(&self.runtime, REQUEST, asking).await;
        answered.unwrap_or(Err(TellError::Timeout))
    }
}

/// What an event says in which rooms. One that is not understood is of a newer origin, and is logged by who
/// delivers it.
fn publications(event: &OutboxEvent) -> Vec<Publication> {
    let happened = serde_json::from_str::<Event>(&event.payload);
    let told = happened.map(|happened| happened.told_in());
    let told = told.unwrap_or_default().into_iter();
    told.filter_map(|(room, data)| {
        Some(Publication {
            data: RawValue::from_string(data).ok()?,
            id: publication_id(event, &room),
            room,
        })
    })
    .collect()
}

/// Under which what an event says in a room is published once.
pub(crate) fn publication_id(event: &OutboxEvent, room: &str) -> String {
    format!("event:{}:{room}", event.id)
}
