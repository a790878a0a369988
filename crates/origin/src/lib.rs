//! The origin: the API over PostgreSQL, as a process.
//!
//! Everything but `main` is a library, so that tests run the origin in their own process with
//! listeners of their own. [`serve()`] is the way in; [`pipeline`] is what every request goes through,
//! [`server`] what every connection does.

pub mod cli;
pub mod config;
pub mod metrics_server;
pub mod pipeline;
pub mod serve;
pub mod server;
pub mod signals;

pub use config::Config;
pub use serve::serve;
