//! What the shells of the rooms share, be it the hub or a Durable Object: who is let in and with which
//! rights, who publishes, whose connections end with a session, and rooms as server-sent events.
//!
//! Nothing here waits, and nothing knows the time by itself.

mod authority;
mod door;
pub mod events;
mod places;
mod publication;
mod sessions;
mod used;

pub use authority::{Guest, Tickets};
pub use door::{NotLetIn, ask_for_events, ask_for_socket};
pub use places::{PlaceLimits, Places};
pub use publication::{BadPublication, MAX_BODY, MAX_DATA, Publication, Publications, Secret};
pub use sessions::EndedSession;
pub use used::Used;
