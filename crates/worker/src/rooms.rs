//! Rooms on Workers: a Durable Object has the connections and the log, and sleeps while nothing happens.
//!
//! A request comes in at the worker's door (`door`), which decides by the ticket alone, in whatever isolate;
//! what is let in goes on to the object. There a `hall::Hall` is the shell around
//! `realtime::Rooms`: its log (`log`) is the object's own database, so whatever is asked of it is
//! answered at once, and nothing here waits. `js/rooms.mjs` is the object as the platform knows it.

pub mod config;

#[cfg(target_arch = "wasm32")]
pub(crate) mod door;
#[cfg(target_arch = "wasm32")]
pub(crate) mod hall;
#[cfg(target_arch = "wasm32")]
mod log;
#[cfg(target_arch = "wasm32")]
mod platform;

pub use config::Realtime;
