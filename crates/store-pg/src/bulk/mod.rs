//! What the operator's tools do to many rows at once: imports and generated data.
//!
//! A [`BulkConnection`] is one session of its own, outside every pool, so that locks and settings that belong
//! to a session stay together and a load of minutes takes no connection from the service.

mod catalog;
mod connection;
mod copy;
mod films;
mod load;
pub mod rows;

pub use catalog::{Catalog, Step, Suspension};
pub use connection::{BulkConnection, BulkError};
pub use copy::CopyRows;
pub use films::{Account, BatchCounts, Film, ImportProgress};
pub use load::CopyIn;
