//! The Durable Object, as the hall asks it: its connections, its database, its clock.

use js_sys::Array;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

#[wasm_bindgen]
extern "C" {
    /// The connections of an object: the class `House` of `js/rooms.mjs`.
    pub type House;

    /// Sends a frame to sockets.
    #[wasm_bindgen(method)]
    pub(crate) fn send(this: &House, sockets: Box<[f64]>, frame: &str);

    /// Sends an event to one who only listens; whether there was room for it.
    #[wasm_bindgen(method)]
    pub(crate) fn event(this: &House, id: f64, event: &str) -> bool;

    /// Closes a connection. One who only listens is sent the event, and no more.
    #[wasm_bindgen(method)]
    pub(crate) fn shut(this: &House, id: f64, code: u16, reason: &str, event: &str);

    /// Keeps what must be known of a connection when the object has slept.
    #[wasm_bindgen(method)]
    pub(crate) fn keep(this: &House, id: f64, attachment: &str);

    /// Has the object woken at a time, in milliseconds since 1970.
    #[wasm_bindgen(method, js_name = wakeAt)]
    pub(crate) fn wake_at(this: &House, at: f64);

    /// The object's database.
    pub type Sql;

    #[wasm_bindgen(method, catch, variadic)]
    fn exec(this: &Sql, statement: &str, bindings: &Array) -> Result<Cursor, JsValue>;

    type Cursor;

    #[wasm_bindgen(method, catch)]
    fn raw(this: &Cursor) -> Result<Rows, JsValue>;

    type Rows;

    #[wasm_bindgen(method, catch, js_name = toArray)]
    fn to_array(this: &Rows) -> Result<Array, JsValue>;
}

impl Sql {
    /// Runs a statement and gives its rows, each an array of its columns.
    pub(crate) fn run(&self, statement: &str, bindings: &[JsValue]) -> Result<Vec<Array>, JsValue> {
        let bindings = bindings.iter().collect::<Array>();
        let rows = self.exec(statement, &bindings)?.raw()?.to_array()?;
        Ok(rows.iter().map(JsCast::unchecked_into).collect())
    }
}
