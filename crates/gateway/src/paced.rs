//! A body that must come on: it ends with an error if it stalls, or grows too large.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use pitchey_edge::BoxError;
use pitchey_runtime::{SystemRuntime, Timer as _};

/// Nothing came for too long.
#[derive(Debug, thiserror::Error)]
#[error("a body has stalled")]
pub(crate) struct Stalled;

/// More came than may.
#[derive(Debug, thiserror::Error)]
#[error("a body is too large")]
pub(crate) struct TooLarge;

/// A body from the network, or none.
#[derive(Default)]
pub struct Paced(Option<Inner>);

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// When a stream of events has to end, and what is said then, if it is between two of them.
pub(crate) struct Farewell {
    ending: Waiting,
    text: Bytes,
    /// The last bytes that have passed.
    tail: [u8; 2],
}

impl Farewell {
    pub(crate) fn new(ending: impl Future<Output = ()> + Send + 'static, text: Bytes) -> Self {
        Self {
            ending: Box::pin(ending),
            text,
            tail: *b"\n\n",
        }
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.tail = match *bytes {
            [] => self.tail,
            [last] => [self.tail[1], last],
            [.., before, last] => [before, last],
        };
    }
}

struct Inner {
    farewell: Option<Farewell>,
    body: Either<Incoming, Full<Bytes>>,
    runtime: SystemRuntime,
    stall: Duration,
    left: u64,
    waiting: Option<Waiting>,
}

impl Paced {
    /// A body of at most `largest` bytes, which may pause for `stall`.
    pub fn new(body: Incoming, runtime: SystemRuntime, stall: Duration, largest: u64) -> Self {
        if body.is_end_stream() {
            return Self(None);
        }
        Self(Some(Inner {
            farewell: None,
            body: Either::Left(body),
            runtime,
            stall,
            left: largest,
            waiting: None,
        }))
    }

    /// A body that is there.
    pub(crate) fn ready(body: Bytes, runtime: SystemRuntime) -> Self {
        if body.is_empty() {
            return Self(None);
        }
        Self(Some(Inner {
            farewell: None,
            body: Either::Right(Full::new(body)),
            runtime,
            stall: Duration::MAX,
            left: u64::MAX,
            waiting: None,
        }))
    }

    /// The same, which may have to end before it ends.
    pub(crate) fn with_farewell(mut self, farewell: Farewell) -> Self {
        if let Some(inner) = &mut self.0 {
            inner.farewell = Some(farewell);
        }
        self
    }
}

impl std::fmt::Debug for Paced {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Paced").finish_non_exhaustive()
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(inner) = &mut self.0 else {
            return Poll::Ready(None);
        };
        if let Some(farewell) = &mut inner.farewell
            && farewell.ending.as_mut().poll(context).is_ready()
        {
            let text = (farewell.tail == *b"\n\n").then(|| farewell.text.clone());
            self.0 = None;
            return Poll::Ready(text.map(|text| Ok(Frame::data(text))));
        }
        let Poll::Ready(frame) = Pin::new(&mut inner.body).poll_frame(context) else {
            let (runtime, stall) = (inner.runtime, inner.stall);
            let waiting = inner
                .waiting
                .get_or_insert_with(|| Box::pin(runtime.sleep(stall)));
            if waiting.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.0 = None;
            return Poll::Ready(Some(Err(Stalled.into())));
        };
        inner.waiting = None;
        let data: &[u8] = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(&[], |data| data),
            _ => &[],
        };
        if let Some(farewell) = &mut inner.farewell {
            farewell.pass(data);
        }
        let length = data.len();
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        match inner.left.checked_sub(length) {
            Some(left) => inner.left = left,
            None => {
                self.0 = None;
                return Poll::Ready(Some(Err(TooLarge.into())));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|inner| inner.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let hint = |inner: &Inner| inner.body.size_hint();
        self.0.as_ref().map_or(SizeHint::with_exact(0), hint)
    }
}
