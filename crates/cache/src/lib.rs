//! A cache of several tiers whose acknowledged invalidations are never undone.
//!
//! Here are its ports: what a tier that all nodes share must promise ([`Shared`]), what a memory must
//! ([`Memory`]), and what a node knows of the shared tier ([`Node`]).

mod answer;
mod backplane;
mod build;
mod cache;
mod entry;
mod flight;
mod follow;
mod guard;
mod lead;
mod many;
mod memory;
mod miss;
mod node;
mod policy;
pub mod predict;
pub mod shared;
#[cfg(feature = "simulation")]
pub mod sim;
mod stamp;
pub mod stats;
mod tag;
#[cfg(all(test, feature = "simulation"))]
mod tests;
#[cfg(feature = "traces")]
pub mod trace;
pub mod warm;

pub use answer::{Answer, From, GetError, State};
pub use backplane::{Backplane, NoShared, SHARED_BREAKER, World};
pub use cache::{Cache, Kind, MAX_KEY, MAX_TAGS};
pub use entry::{Entry, Load, Loaded, Source, Value};
pub use follow::{CatchUp, Feed, Lost, follow};
pub use guard::{Guard, Guards};
pub use many::Item;
pub use memory::Memory;
#[cfg(feature = "testing")]
pub use memory::contract as memory_contract;
pub use node::{Gap, Node, NodeConfig, NodeStatus};
pub use policy::{Policy, Unverified};
pub use shared::{Shared, SharedError};
pub use stamp::{AsOf, Epoch, Lease, Position, Seq, Token};
