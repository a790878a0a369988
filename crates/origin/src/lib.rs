//! The origin: the API over PostgreSQL, as a process.
//!
//! Everything but `main` is a library, so that tests run the origin in their own process with
//! listeners of their own. [`serve()`] is the way in; [`pipeline`] is what every request goes through,
//! [`server`] what every connection does.

pub mod background;
mod backoff;
mod cache_desk;
pub mod caches;
mod chain;
pub mod cli;
pub mod config;
pub mod counters;
pub mod duties;
pub mod metrics_server;
pub mod overload;
pub mod passwords;
pub mod pipeline;
pub mod relay;
pub mod rooms;
pub mod serve;
pub mod server;
mod sessions;
mod shared_limits;
pub mod warming;

pub use config::Config;
pub use serve::serve;
