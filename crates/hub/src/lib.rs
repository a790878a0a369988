//! The hub: rooms over `WebSocket`s and server-sent events, as a process.
//!
//! What is decided, `pitchey-realtime` decides; here are the sockets, the clock, and the log that orders
//! what is published: in memory for a hub that is alone, in Redis for many.
//! Everything but `main` is a library; [`serve()`] is the way in.

pub mod cli;
pub mod config;
mod connect;
mod internal;
mod log;
mod mailbox;
mod node;
mod publish;
mod serve;
mod socket;
mod sse;
pub mod wire;

pub use config::Config;
pub use serve::serve;
