//! The functions of `js/glue.js`, and what else of JavaScript is used by name.

use js_sys::{Promise, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::body::Outgoing;

#[wasm_bindgen]
extern "C" {
    /// What a request may ask of the platform for itself.
    pub type Context;

    /// Lets work go on when the answer is given. Fails if the request has ended.
    #[wasm_bindgen(method, catch, js_name = waitUntil)]
    pub(crate) fn wait_until(this: &Context, work: &Promise) -> Result<(), JsValue>;

    /// A body that comes in pieces.
    #[wasm_bindgen(js_name = ReadableStream)]
    pub type Stream;

    /// An answer as Workers give it.
    pub type Response;
}

#[wasm_bindgen(raw_module = "./glue.js")]
extern "C" {
    /// Asks the origin: an array of status, fields and body, or of 0, why, and what was said about it.
    pub(crate) fn ask(
        url: &str,
        method: &str,
        fields: &str,
        body: Option<Stream>,
        limit: Option<f64>,
        patience: u32,
    ) -> Promise;

    /// Posts JSON: an array of status and text, or of 0 and why there is none.
    pub(crate) fn post(
        url: &str,
        authorization: &str,
        body: &str,
        largest: f64,
        patience: u32,
    ) -> Promise;

    /// What KV has for a key, or null.
    #[wasm_bindgen(js_name = kvGet)]
    pub(crate) fn kv_get(key: &str, patience: u32) -> Promise;

    /// The keys of KV that begin so, a thousand at most, or null.
    #[wasm_bindgen(js_name = kvList)]
    pub(crate) fn kv_list(prefix: &str, patience: u32) -> Promise;

    /// Whether KV has taken it, for so many seconds.
    #[wasm_bindgen(js_name = kvPut)]
    pub(crate) fn kv_put(key: &str, value: Uint8Array, seconds: u32, patience: u32) -> Promise;

    /// Reads a stream piece by piece.
    pub(crate) type Reader;

    #[wasm_bindgen(constructor, catch)]
    pub(crate) fn new(stream: &Stream, patience: u32) -> Result<Reader, JsValue>;

    /// The next piece, or nothing at the end.
    #[wasm_bindgen(method)]
    pub(crate) fn next(this: &Reader) -> Promise;

    /// Nobody wants the rest.
    #[wasm_bindgen(method)]
    pub(crate) fn leave(this: &Reader);

    /// The same of a stream of which nothing was read.
    #[wasm_bindgen(js_name = leave)]
    pub(crate) fn leave_stream(stream: &Stream);

    /// A response; one that says so if the platform takes none for this.
    pub(crate) fn respond(status: u16, fields: &str, body: &JsValue) -> Response;

    /// An answer that will be sent again.
    pub(crate) type Again;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new(status: u16, fields: &str, body: &JsValue) -> Again;

    /// The answer, with more fields than its own from now on, if they are other than before, and with one
    /// that is of this time alone.
    #[wasm_bindgen(method)]
    pub(crate) fn respond(this: &Again, fields: Option<&str>, name: &str, value: &str) -> Response;

    /// A body that comes piece by piece.
    pub(crate) fn streamed(source: Outgoing, length: Option<f64>) -> Stream;

    /// A wait that can be left.
    pub(crate) type Wait;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new(ms: f64) -> Wait;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn over(this: &Wait) -> Promise;

    #[wasm_bindgen(method)]
    pub(crate) fn leave(this: &Wait);

    /// Random bytes.
    pub(crate) fn random(bytes: &mut [u8]);

    /// Tells the operator.
    pub(crate) fn log(text: &str);

    /// This module has failed and will do nothing more.
    pub(crate) fn panicked(message: &str);
}
