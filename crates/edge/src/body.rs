//! The body of an answer: bytes that are there, or what the origin sends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use pitchey_cache::Entry;

use crate::platform::{BoxError, Platform};
use crate::site::Page;
use crate::tee::Tee;

/// The body of an answer.
pub enum Body<P: Platform> {
    /// Bytes that are there, until they are sent.
    Ready(Option<Bytes>),
    /// The whole of a page that is kept, until it is sent.
    Kept(Option<Arc<Entry<Page>>>),
    /// What the origin sends.
    Passed(P::Download),
    /// The same, which is also collected to be stored.
    Stored(Box<Tee<P>>),
}

impl<P: Platform> Body<P> {
    /// No body.
    pub fn empty() -> Self {
        Self::Ready(None)
    }
}

impl<P: Platform> From<Bytes> for Body<P> {
    fn from(bytes: Bytes) -> Self {
        Self::Ready((!bytes.is_empty()).then_some(bytes))
    }
}

impl<P: Platform> std::fmt::Debug for Body<P> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Ready(_) => "Ready",
            Self::Kept(_) => "Kept",
            Self::Passed(_) => "Passed",
            Self::Stored(_) => "Stored",
        })
    }
}

impl<P: Platform> http_body::Body for Body<P> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Ready(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Kept(entry) => Poll::Ready(entry.take().map(|entry| {
                let (_, _, bytes) = entry.value().parts();
                Ok(Frame::data(bytes.clone()))
            })),
            Self::Passed(download) => Pin::new(download).poll_frame(context),
            Self::Stored(tee) => tee.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Ready(bytes) => bytes.is_none(),
            Self::Kept(entry) => entry.is_none(),
            Self::Passed(download) => download.is_end_stream(),
            // Whoever is told so does not ask for the end, which is what stores it.
            Self::Stored(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Ready(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Kept(entry) => {
                let length = entry
                    .as_ref()
                    .map_or(0, |entry| entry.value().parts().2.len());
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Passed(download) => download.size_hint(),
            Self::Stored(tee) => tee.size_hint(),
        }
    }
}
