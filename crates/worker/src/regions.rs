//! Databases near readers, on Workers: by Hyperdrive, or by connections of the worker's own.
//!
//! A socket belongs to the request that has opened it, so each read has a connection of its own ([`lane`]) and
//! closes it; the pool is on Hyperdrive's side. `js/regions.mjs` has the sockets. Nothing is asked between
//! requests: how a region is, its reads themselves show.

pub mod config;

#[cfg(target_arch = "wasm32")]
mod lane;
#[cfg(target_arch = "wasm32")]
mod reads;
#[cfg(target_arch = "wasm32")]
mod socket;

pub use config::Regional;
#[cfg(target_arch = "wasm32")]
pub(crate) use reads::{missing, regions};
