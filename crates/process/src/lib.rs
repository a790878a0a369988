//! What the processes of all servers do alike: they serve until a signal ends them, in order.

mod signals;

pub use signals::{CutShort, until_stopped};
