//! A socket of the platform as a stream of bytes.

use std::io::{Error, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncRead, AsyncWrite};
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::JsFuture;

use crate::body::said;

#[wasm_bindgen(raw_module = "./regions.mjs")]
extern "C" {
    /// As whom a binding of Hyperdrive leads to which database: an array of user, password and database, or
    /// nothing if there is no such binding.
    pub(super) fn hyperdrive(name: &str) -> JsValue;

    /// A connection that is being made.
    type Socket;

    /// By a binding, if its name is not empty, else to a host. Fails if that may not be.
    #[wasm_bindgen(constructor, catch)]
    fn new(binding: &str, host: &str, port: u16) -> std::result::Result<Socket, JsValue>;

    /// The next bytes, or nothing at the end.
    #[wasm_bindgen(method)]
    fn read(this: &Socket) -> Promise;

    /// Sends bytes; done when more may come.
    #[wasm_bindgen(method)]
    fn write(this: &Socket, bytes: Uint8Array) -> Promise;

    #[wasm_bindgen(method)]
    fn close(this: &Socket);
}

/// A connection, which is closed when it is dropped.
pub(super) struct Stream {
    socket: Socket,
    reading: Option<JsFuture>,
    /// What has come and was not read yet.
    come: Vec<u8>,
    read: usize,
    writing: Option<JsFuture>,
}

impl Stream {
    /// Begins to connect: what cannot be reached fails at the first read or write.
    pub(super) fn open(binding: &str, host: &str, port: u16) -> Result<Self> {
        let socket = Socket::new(binding, host, port).map_err(|error| failed(&error))?;
        Ok(Self {
            socket,
            reading: None,
            come: Vec::new(),
            read: 0,
            writing: None,
        })
    }
}

fn failed(error: &JsValue) -> Error {
    Error::other(said(error))
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<Result<usize>> {
        let this = &mut *self;
        if this.read == this.come.len() {
            let socket = &this.socket;
            let reading = this
                .reading
                .get_or_insert_with(|| JsFuture::from(socket.read()));
            let piece = ready!(Pin::new(reading).poll(context));
            this.reading = None;
            let piece = piece.map_err(|error| failed(&error))?;
            if piece.is_undefined() {
                return Poll::Ready(Ok(0));
            }
            this.come = Uint8Array::from(piece).to_vec();
            this.read = 0;
        }
        let length = into.len().min(this.come.len() - this.read);
        into[..length].copy_from_slice(&this.come[this.read..this.read + length]);
        this.read += length;
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        ready!(self.as_mut().poll_flush(context))?;
        let writing = self.socket.write(Uint8Array::from(bytes));
        self.writing = Some(JsFuture::from(writing));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(writing) = &mut self.writing else {
            return Poll::Ready(Ok(()));
        };
        let written = ready!(Pin::new(writing).poll(context));
        self.writing = None;
        Poll::Ready(written.map(|_| ()).map_err(|error| failed(&error)))
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(context)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.socket.close();
    }
}
