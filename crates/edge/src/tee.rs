//! A body on its way to a client, collected to be stored.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};

use crate::platform::{BoxError, Platform};
use crate::receive::Receipt;
use crate::slot::Received;

/// Passes a body on and keeps a copy; at its end, both go to the [`Receipt`]. A client that leaves does not
/// end it: others may wait for it, so the rest is read behind.
pub struct Tee<P: Platform> {
    download: Option<P::Download>,
    kept: Vec<Bytes>,
    length: u64,
    /// How long it is, if that was said: whoever reads that much need not ask for the end.
    expected: Option<u64>,
    receipt: Option<Receipt<P>>,
}

impl<P: Platform> Tee<P> {
    pub(crate) fn new(download: P::Download, receipt: Receipt<P>) -> Self {
        Self {
            expected: download.size_hint().exact(),
            download: Some(download),
            kept: Vec::new(),
            length: 0,
            receipt: Some(receipt),
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(download) = &mut self.download else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(download).poll_frame(context);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.keep(data);
                    if self.expected == Some(self.length) {
                        self.settle(true, context);
                    }
                }
            }
            Poll::Ready(Some(Err(_))) => self.end(false, context),
            Poll::Ready(None) => self.end(true, context),
        }
        polled
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.download
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), P::Download::size_hint)
    }

    fn keep(&mut self, data: &Bytes) {
        let Some(receipt) = &self.receipt else { return };
        self.length += data.len() as u64;
        if self.length > receipt.largest() {
            // Nobody need wait for it.
            self.kept = Vec::new();
            self.receipt = None;
        } else if !data.is_empty() {
            self.kept.push(data.clone());
        }
    }

    fn end(&mut self, complete: bool, context: &mut Context<'_>) {
        self.download = None;
        self.settle(complete, context);
    }

    /// Stores it before the client is told the end, where that can be done at once.
    fn settle(&mut self, complete: bool, context: &mut Context<'_>) {
        if let Some(receipt) = self.receipt.take() {
            let platform = receipt.platform().clone();
            let bytes = joined(&std::mem::take(&mut self.kept));
            let mut settling = Box::pin(receipt.settle(Some(Received { bytes, complete })));
            if settling.as_mut().poll(context).is_pending() {
                platform.spawn(settling);
            }
        }
    }
}

/// In one piece, and not as slices of larger buffers that would be kept with it.
fn joined(pieces: &[Bytes]) -> Bytes {
    let length = pieces.iter().map(Bytes::len).sum();
    let mut whole = BytesMut::with_capacity(length);
    for piece in pieces {
        whole.extend_from_slice(piece);
    }
    whole.freeze()
}

impl<P: Platform> Drop for Tee<P> {
    fn drop(&mut self) {
        let (Some(download), Some(receipt)) = (self.download.take(), self.receipt.take()) else {
            return;
        };
        let platform = receipt.platform().clone();
        let mut rest = Self {
            download: Some(download),
            kept: std::mem::take(&mut self.kept),
            length: self.length,
            expected: self.expected,
            receipt: Some(receipt),
        };
        platform.spawn(async move {
            while rest.receipt.is_some() {
                let next = std::future::poll_fn(|context| rest.poll_frame(context));
                if !matches!(next.await, Some(Ok(_))) {
                    break;
                }
            }
        });
    }
}
