//! The edge on Cloudflare Workers: the bindings of the platform as the ports of `crates/edge`.
//!
//! What is not about JavaScript ([`config`], [`duties`], [`memory`], what [`regions`] and [`rooms`] are told)
//! builds everywhere and is tested natively; the rest exists in WebAssembly alone. `js/index.mjs` is the module
//! that Workers start; it calls `answer`.
//!
//! Two modules are built of it: one with the feature `regions`, and a smaller one without.
//!
//! JavaScript is crossed seldom: a request comes in one call, its fields as one text, and what goes out goes
//! in one call.

pub mod config;
pub mod duties;
pub mod memory;
#[cfg_attr(not(feature = "regions"), path = "without_regions.rs")]
pub mod regions;
pub mod rooms;

#[cfg(target_arch = "wasm32")]
mod answer;
#[cfg(target_arch = "wasm32")]
mod body;
#[cfg(target_arch = "wasm32")]
mod bucket;
#[cfg(target_arch = "wasm32")]
mod cron;
#[cfg(target_arch = "wasm32")]
mod fields;
#[cfg(target_arch = "wasm32")]
mod glue;
#[cfg(target_arch = "wasm32")]
mod meter;
#[cfg(target_arch = "wasm32")]
mod nearby;
#[cfg(target_arch = "wasm32")]
mod own;
#[cfg(target_arch = "wasm32")]
mod pages;
#[cfg(target_arch = "wasm32")]
mod platform;
#[cfg(target_arch = "wasm32")]
mod rest;
#[cfg(target_arch = "wasm32")]
mod scope;

#[cfg(target_arch = "wasm32")]
pub use answer::{answer, configure};
#[cfg(target_arch = "wasm32")]
pub use cron::scheduled;
#[cfg(target_arch = "wasm32")]
pub use rooms::{door::admit, hall::Hall};
