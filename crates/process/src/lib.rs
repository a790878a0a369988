//! What the processes of all servers do alike: they serve until a signal ends them, in order; who asks them is
//! told them in the same words.

pub mod client_address;
mod signals;

pub use signals::{CutShort, until_stopped};
