//! The repositories over PostgreSQL.
//!
//! The one crate that knows sqlx: statements come from `pitchey-sql` and are checked against the schema
//! when this is compiled (offline data in `.sqlx/`, kept by `cargo xtask sqlx`).

pub mod bulk;
pub mod inspect;
pub mod migrate;

mod config;
mod error;
mod pitches;
mod pool;
mod rows;
mod search;
mod users;

pub use config::{PoolConfig, TlsMode};
pub use pool::{ConnectError, LimitError, PgStore};
