//! What is done with a response of the origin: sent to the client, and stored.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{Method, Response, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::BodyDataStream;
use pitchey_http_cache::{
    Answer, Body as Which, Change, Content, Fetch, Outcome, Request, Respond, Response as Came,
    Source, Times,
};

use crate::body::Body;
use crate::flights::{Landed, Leader};
use crate::platform::{Platform, Store as _};
use crate::proxy::{Exchange, Inner, Sent, refusal};
use crate::slot::{Received, Slot};
use crate::tee::Tee;

/// A response whose body is on its way, and all that is needed to store it.
pub(crate) struct Receipt<P: Platform> {
    inner: Arc<Inner<P>>,
    method: Method,
    target: Uri,
    request: HeaderMap,
    fetch: Fetch,
    status: StatusCode,
    headers: HeaderMap,
    times: Times,
    /// The newest purge when it was asked for.
    purge: u64,
    /// Tells those who wait when it is gone.
    leader: Option<Leader>,
}

impl<P: Platform> Receipt<P> {
    pub(crate) fn platform(&self) -> &P {
        &self.inner.platform
    }

    pub(crate) fn largest(&self) -> u64 {
        self.inner.platform.store().largest_body()
    }

    /// Stores it, and tells those who wait. What is stored may be other than it was when the response came,
    /// so it is decided anew.
    pub(crate) async fn settle(self, received: Option<Received>) {
        let key = self.target.path_and_query().map_or("/", |key| key.as_str());
        let store = self.inner.platform.store();
        let purges = &self.inner.purges;
        let change = |slot: Option<&Arc<Slot>>| {
            if purges.has_reached(key, self.purge) {
                return slot.cloned();
            }
            let variants = slot.map_or(&[][..], |slot| slot.variants());
            let outcome = self.decide(variants);
            let base = slot.map(|slot| slot.as_ref().clone()).unwrap_or_default();
            let codes = self.inner.settings.encode.is_some();
            base.changed(&outcome.changes, received.as_ref(), codes)
                .map(Arc::new)
        };
        store.update(key, change).await;
        // Looked at behind it once more, as a walk over the keys may have missed it.
        if purges.has_reached(key, self.purge) {
            store.remove(key).await;
        }
        if let Some(leader) = self.leader {
            leader.land(Landed::Stored);
        }
    }

    fn decide(&self, variants: &[pitchey_http_cache::Stored]) -> Outcome {
        let request = Request {
            method: &self.method,
            uri: &self.target,
            headers: &self.request,
        };
        let response = Came {
            status: self.status,
            headers: &self.headers,
        };
        self.inner
            .cache
            .on_response(request, &self.fetch, response, self.times, variants)
    }
}

impl<P: Platform> Inner<P> {
    /// The answer to a client from a response of the origin; an error is what to ask instead.
    pub(crate) async fn take(
        self: &Arc<Self>,
        exchange: &Exchange,
        fetch: Fetch,
        response: Response<P::Download>,
        sent: Sent,
        leader: Option<Leader>,
    ) -> Result<Response<Body<P>>, Fetch> {
        let times = Times {
            request: sent.at,
            response: self.now(),
        };
        let (parts, download) = response.into_parts();
        let store = self.platform.store();
        let slot = store.get(exchange.key()).await;
        let mut receipt = Receipt {
            inner: self.clone(),
            method: exchange.method.clone(),
            target: exchange.target.clone(),
            request: exchange.headers.clone(),
            fetch,
            status: parts.status,
            headers: parts.headers,
            times,
            purge: sent.purge,
            leader,
        };
        let outcome = receipt.decide(slot.as_deref().map_or(&[], Slot::variants));
        for key in &outcome.invalidate {
            self.forget(key.as_str()).await;
        }
        let needs_body =
            |change: &Change| matches!(change, Change::Insert(_) | Change::Splice { .. });
        let declared = declared_length(&receipt.headers).or(download.size_hint().exact());
        let fits = declared.is_none_or(|length| length <= store.largest_body());
        let stores = outcome.changes.iter().any(needs_body) && fits;
        let is_read = exchange.method == Method::GET;
        if !stores && is_read && outcome.changes.is_empty() && !receipt.status.is_server_error() {
            self.flights
                .note_unstorable(exchange.key(), self.platform.now());
        }
        let status = receipt.status;
        // Kept, where what is stored now is what the answer counts the variants of.
        let receipt = if stores && download.is_end_stream() {
            let (bytes, complete) = (Bytes::new(), true);
            receipt.settle(Some(Received { bytes, complete })).await;
            None
        } else if stores {
            Some(receipt)
        } else if outcome.changes.is_empty() || outcome.changes.iter().any(needs_body) {
            drop(receipt.leader.take());
            None
        } else {
            receipt.settle(None).await;
            None
        };
        match outcome.respond {
            Respond::Again(again) => Err(again),
            Respond::Upstream {
                headers,
                mut cache_status,
                ..
            } => {
                if !stores {
                    unstored(&mut cache_status);
                }
                let mut response = Response::new(passed(download, receipt));
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                cache_status.append_to(&self.settings.name, response.headers_mut());
                Ok(response)
            }
            Respond::Answer(mut answer) => {
                if !stores {
                    unstored(&mut answer.cache_status);
                }
                if answer.source != Source::Received || answer.body == Which::Empty {
                    let response = self.answer(answer, exchange.asked(), slot.as_deref(), None);
                    // It is read behind, if it is to be stored.
                    drop(passed(download, receipt));
                    return Ok(response);
                }
                if answer.body == Which::Whole {
                    return Ok(self.sent(answer, passed(download, receipt)));
                }
                let body = passed(download, receipt);
                Ok(self.part(answer, body).await)
            }
        }
    }

    /// A part of what comes: all of it is read first, up to the largest body.
    async fn part(&self, answer: Answer, body: Body<P>) -> Response<Body<P>> {
        let largest = self.platform.store().largest_body();
        let mut whole = BytesMut::new();
        let mut pieces = BodyDataStream::new(body);
        while let Some(piece) = pieces.next().await {
            let Ok(piece) = piece else {
                return refusal(StatusCode::BAD_GATEWAY, "The origin's answer broke off.");
            };
            whole.extend_from_slice(&piece);
            if whole.len() as u64 > largest {
                return refusal(
                    StatusCode::BAD_GATEWAY,
                    "The origin's answer is too large to take a part of it.",
                );
            }
        }
        let content = Content::Whole {
            length: u64::try_from(whole.len()).ok(),
        };
        match answer.body.assemble(&content, &whole.freeze()) {
            Some(bytes) => self.sent(answer, Body::from(bytes)),
            None => refusal(StatusCode::BAD_GATEWAY, "The origin's answer broke off."),
        }
    }

    /// Forgets what is stored for a key of the cache, which is an absolute address at the origin.
    async fn forget(&self, key: &str) {
        let authority = key.find("://").map_or(0, |at| at + 3);
        if let Some(path) = key[authority..].find('/') {
            let path = &key[authority + path..];
            self.platform.store().remove(path).await;
        }
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn unstored(status: &mut pitchey_http_cache::CacheStatus) {
    if let pitchey_http_cache::Handling::Forward { stored, .. } = &mut status.handling {
        *stored = false;
    }
}

fn passed<P: Platform>(download: P::Download, receipt: Option<Receipt<P>>) -> Body<P> {
    match receipt {
        Some(receipt) => Body::Stored(Box::new(Tee::new(download, receipt))),
        None if download.is_end_stream() => Body::Ready(None::<Bytes>),
        None => Body::Passed(download),
    }
}
