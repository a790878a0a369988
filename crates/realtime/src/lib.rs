//! Rooms that lose nothing, as a state machine without I/O: frames, ticks, updates and the time go in;
//! frames to send, timers to set and connections to close come out.
//!
//! [`Rooms`] is what one node does for the connections it has. The order of a room's updates is not its
//! own: a log (a [`MemLog`], a stream in Redis, the storage of a Durable Object) gives each update its
//! [`Position`], and the shell around `Rooms` asks the log for what [`Action`]s say and tells what came
//! of it, in whatever order, twice or not at all.
//!
//! The promise: no client sees an update of a room twice, or out of order, or misses one without being
//! told, be it by `recovered: false` or by the close code 4010. `sim` plays it.
//!
//! What a room or a person is, this crate does not know: an [`Authority`] says who may do what.

mod close;
mod encode;
mod guard;
pub mod log;
pub mod outbox;
pub mod protocol;
mod rooms;
pub mod schema;
mod settings;

#[cfg(test)]
mod sim;

pub use close::CloseCode;
pub use log::{History, Keep, MemLog, Position, TOLD_KEPT, Update};
pub use protocol::RoomName;
pub use rooms::{Access, Action, Attachment, Authority, Now, Others, Rooms, SocketId, Unavailable};
pub use settings::Settings;
