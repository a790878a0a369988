//! The repositories over PostgreSQL.
//!
//! The one crate that knows sqlx: statements come from `pitchey-sql` and are checked against the schema
//! when this is compiled (offline data in `.sqlx/`, kept by `cargo xtask sqlx`).

pub mod bulk;
pub mod inspect;
pub mod migrate;
pub mod operate;

mod accounts;
mod breaker;
mod config;
mod effects;
mod endpoint;
mod error;
mod freshness;
mod intake;
mod invalidation;
mod lease;
mod market;
mod outbox;
mod pitches;
mod pool;
mod read;
mod replicas;
mod rows;
mod scope;
mod statements;
mod tx;
mod upkeep;
mod users;

pub use config::{PoolConfig, ReplicaConfig, TlsMode};
pub use invalidation::{INVALIDATION_TIMEOUT, Invalidate};
pub use outbox::{
    Backlog, OutboxEvent, OutboxListener, OutboxStatus, OutboxTag, OutboxWrites, RelayRound, Replay,
};
pub use pool::{ConnectError, LimitError, PgStore};
pub use scope::{DatabaseUsage, RequestScope};
pub use upkeep::{CleanedUp, Rescored};
