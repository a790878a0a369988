//! The read ports of `store` over a database near an edge, which may be a replica that lags behind.
//!
//! [`RegionalStore`] runs the shared statements by tokio-postgres, whatever its streams run on: who uses it
//! opens connections and hands them out ([`Connections`]). It writes nothing, and answers nothing from a
//! replica that has not replayed the position which the view demands: the question goes ahead of each
//! statement on the same connection, in the same trip.

mod error;
mod statements;
mod store;

pub use error::{Behind, store_error};
pub use store::{Connections, Progress, RegionalStore};

/// What a connection is told when it begins: it changes nothing, and ends what takes longer than this many
/// milliseconds.
pub fn options(statement_timeout_ms: u64) -> String {
    format!("-c default_transaction_read_only=on -c statement_timeout={statement_timeout_ms}")
}
