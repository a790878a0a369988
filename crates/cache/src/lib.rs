//! A cache of several tiers whose acknowledged invalidations are never undone.
//!
//! Here are its ports: what a tier that all nodes share must promise ([`Shared`]), what a memory must
//! ([`Memory`]), and what a node knows of the shared tier ([`Node`]).

mod entry;
mod guard;
mod memory;
mod node;
mod policy;
pub mod shared;
mod stamp;
pub mod stats;
mod tag;

pub use entry::{Entry, Load, Loaded, Source, Value};
pub use guard::{Guard, Guards};
pub use memory::Memory;
pub use node::{Gap, Node, NodeConfig, NodeStatus};
pub use policy::{Policy, Unverified};
pub use shared::{Shared, SharedError};
pub use stamp::{AsOf, Epoch, Lease, Position, Seq, Token};
