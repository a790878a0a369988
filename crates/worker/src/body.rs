//! Bodies: of requests, of the origin's responses, and those that go to the client.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use js_sys::{Promise, Uint8Array};
use pitchey_edge::{Body, BoxError};
use send_wrapper::SendWrapper;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use crate::glue::{self, Reader, Stream};
use crate::platform::Workers;
use crate::scope::Scope;

/// The body of a request. It is not read here: JavaScript passes it on.
pub(crate) struct Upload {
    pub(crate) stream: SendWrapper<Option<Stream>>,
    /// How long it may be, if that was not looked at yet.
    pub(crate) limit: Option<u64>,
}

impl Default for Upload {
    fn default() -> Self {
        Self {
            stream: SendWrapper::new(None),
            limit: None,
        }
    }
}

/// The body of a response of the origin.
pub(crate) struct Download(SendWrapper<State>);

enum State {
    Ended,
    /// It is here.
    Ready(Bytes),
    /// Nothing was read of it: it can go on as it is.
    Untouched(Coming),
    Reading {
        reader: Reader,
        next: Option<JsFuture>,
        coming: Coming,
    },
}

struct Coming {
    stream: Stream,
    /// How much is still to come, if that is known.
    left: Option<u64>,
    patience: u32,
}

impl Download {
    pub(crate) fn new(stream: Option<Stream>, length: Option<u64>, patience_ms: u32) -> Self {
        let state = match stream {
            Some(stream) if length != Some(0) => State::Untouched(Coming {
                stream,
                left: length,
                patience: patience_ms,
            }),
            _ => State::Ended,
        };
        Self(SendWrapper::new(state))
    }

    /// A body that is here.
    pub(crate) fn ready(body: Bytes) -> Self {
        Self(SendWrapper::new(if body.is_empty() {
            State::Ended
        } else {
            State::Ready(body)
        }))
    }

    /// The stream, if nothing was read of it, or the bytes that are here.
    fn untouched(&mut self) -> Option<JsValue> {
        match std::mem::replace(&mut *self.0, State::Ended) {
            State::Untouched(coming) => Some(coming.stream.into()),
            State::Ready(body) => Some(Uint8Array::from(&*body).into()),
            other => {
                *self.0 = other;
                None
            }
        }
    }

    fn end(&mut self, failed: bool) {
        if let State::Reading { reader, .. } = std::mem::replace(&mut *self.0, State::Ended)
            && failed
        {
            reader.leave();
        }
    }
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let State::Ready(body) = &mut *self.0 {
            let body = std::mem::take(body);
            *self.0 = State::Ended;
            return Poll::Ready(Some(Ok(Frame::data(body))));
        }
        if let State::Untouched(_) = &*self.0
            && let State::Untouched(coming) = std::mem::replace(&mut *self.0, State::Ended)
        {
            let reader = match Reader::new(&coming.stream, coming.patience) {
                Ok(reader) => reader,
                Err(error) => return Poll::Ready(Some(Err(said(&error).into()))),
            };
            *self.0 = State::Reading {
                reader,
                next: None,
                coming,
            };
        }
        let State::Reading {
            reader,
            next,
            coming,
        } = &mut *self.0
        else {
            return Poll::Ready(None);
        };
        let reading = next.get_or_insert_with(|| JsFuture::from(reader.next()));
        let Poll::Ready(piece) = Pin::new(reading).poll(context) else {
            return Poll::Pending;
        };
        *next = None;
        match piece {
            Ok(piece) if piece.is_undefined() => {
                let missing = coming.left.is_some_and(|left| left > 0);
                self.end(false);
                let error = "the body broke off".into();
                Poll::Ready(missing.then_some(Err(error)))
            }
            Ok(piece) => {
                let piece = Bytes::from(Uint8Array::from(piece).to_vec());
                let length = piece.len() as u64;
                coming.left = coming.left.map(|left| left.saturating_sub(length));
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Err(error) => {
                self.end(true);
                Poll::Ready(Some(Err(said(&error).into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(*self.0, State::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        match &*self.0 {
            State::Ended => SizeHint::with_exact(0),
            State::Ready(body) => SizeHint::with_exact(body.len() as u64),
            State::Untouched(coming) | State::Reading { coming, .. } => coming
                .left
                .map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        match &*self.0 {
            State::Ended | State::Ready(_) => {}
            State::Untouched(coming) => glue::leave_stream(&coming.stream),
            State::Reading { reader, .. } => reader.leave(),
        }
    }
}

/// What an error of JavaScript says.
pub(crate) fn said(error: &JsValue) -> String {
    js_sys::Reflect::get(error, &JsValue::from_str("message"))
        .ok()
        .and_then(|message| message.as_string())
        .unwrap_or_else(|| format!("{error:?}"))
}

/// A body as JavaScript takes it.
pub(crate) fn outgoing(body: Body<Workers>, scope: &Scope) -> JsValue {
    match body {
        Body::Ready(None) | Body::Kept(None) => JsValue::NULL,
        Body::Ready(Some(bytes)) => Uint8Array::from(&*bytes).into(),
        Body::Kept(Some(entry)) => Uint8Array::from(&**entry.value().parts().2).into(),
        Body::Passed(mut download) => match download.untouched() {
            // It need not come through here.
            Some(body) => body,
            None => JsValue::NULL,
        },
        stored @ Body::Stored(_) => {
            #[expect(clippy::cast_precision_loss, reason = "no body is as long")]
            let length = stored.size_hint().exact().map(|length| length as f64);
            let outgoing = Outgoing {
                body: Rc::new(RefCell::new(Some(stored))),
                scope: scope.clone(),
            };
            glue::streamed(outgoing, length).into()
        }
    }
}

/// A body that goes to the client piece by piece.
#[wasm_bindgen]
pub struct Outgoing {
    body: Rc<RefCell<Option<Body<Workers>>>>,
    scope: Scope,
}

#[wasm_bindgen]
impl Outgoing {
    /// The next piece, or nothing at the end.
    pub fn pull(&self) -> Promise {
        let body = self.body.clone();
        let next = std::future::poll_fn(move |context| match &mut *body.borrow_mut() {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        });
        let next = self.scope.clone().scoped(next);
        future_to_promise(async move {
            match next.await {
                None => Ok(JsValue::UNDEFINED),
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    Ok(Uint8Array::from(&*data).into())
                }
                Some(Err(error)) => Err(js_sys::Error::new(&error.to_string()).into()),
            }
        })
    }

    /// Nobody wants the rest. What others may want is read behind.
    pub fn stop(&self) {
        let body = self.body.take();
        self.scope.within(|| drop(body));
    }
}
