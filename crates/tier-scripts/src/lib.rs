//! The shared tier of the cache as scripts that Redis runs: their texts, what they are given, and what they
//! answer, over whatever carries them there.
//!
//! [`Scripted`] is the tier, over a [`Transport`]: a connection of the redis crate (in `tiers`), or requests
//! of HTTP ([`rest`]), which is what Workers have.

pub mod rest;
mod script;
mod shared;
mod transport;

pub use script::{
    BEAT, CONNECTED, FILL, GCRA, INVALIDATE, LOOKUP, RELEASE, RENEW, ROOM_APPEND, ROOM_HEADS,
    ROOM_LOAD, ROOM_PRESENCE, SWEEP, Script, Steps, UNCONNECTED, UNCONNECTED_FILL,
    UNCONNECTED_INVALIDATE, UNCONNECTED_LOOKUP,
};
pub use shared::{MAX_BATCH_BYTES, MAX_NAMES, MAX_TAGS, Scripted, escape, read_names};
pub use transport::{Arguments, Transport, Value, digits, is_full, within};
