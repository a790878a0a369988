//! The gateway: the edge on tokio, as a process.
//!
//! Everything but `main` is a library, so that tests can run it with a listener of their own.
//! [`serve()`] is the way in; [`server`] is what every connection goes through, [`native`] the platform
//! that the edge runs on.

pub mod cli;
pub mod config;
mod figures;
mod folder;
mod frames;
mod health;
mod live;
pub mod native;
mod own;
mod paced;
pub mod pitchey;
pub mod regions;
mod s3;
pub mod serve;
pub mod server;
mod shares;
mod tls;
mod warming;

pub use config::Config;
pub use serve::serve;
