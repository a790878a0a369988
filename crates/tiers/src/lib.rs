//! The tiers of the cache: a node's memory over moka, the tier that all nodes share over Redis, the
//! follower that keeps a node attached to it, and rate limits that all nodes share. And the log of
//! rooms: the one order of what is published in them, for all nodes.
//!
//! The one crate that knows moka and redis. What it decides, it decides in scripts that Redis runs
//! (`pitchey-tier-scripts`), each atomic; the rest is connections and their deadlines.
//!
//! A [`RedisLink`] holds the connection that calls share. Whoever makes one runs
//! [`RedisLink::keep_connected`] as a task, and for the cache [`Follower::run`] as another.

mod figures;
mod follower;
mod link;
mod map;
mod memory;
mod overview;
mod rate_limit;
mod refusal;
mod rooms;
mod scripts;
mod shared;

pub use figures::{record_kinds, record_memory, record_node};
pub use follower::{Follower, RedisFeed};
pub use link::{InvalidUrl, RedisConfig, RedisLink};
pub use map::MokaMap;
pub use memory::MokaMemory;
pub use overview::Overview;
pub use pitchey_tier_scripts::{MAX_BATCH_BYTES, MAX_NAMES, MAX_TAGS};
pub use rate_limit::RedisRateLimiter;
pub use rooms::{RedisRooms, RoomFeed};
pub use shared::{Call, RedisShared};
