//! The ports through which the rest of the workspace reaches time and randomness.
//!
//! No crate that must run in WebAssembly reads a clock, sleeps or draws random numbers by itself:
//! it takes a [`Clock`], a [`Timer`], a [`Random`] or a [`Spawn`]. Production passes [`SystemRuntime`], tests
//! pass the fakes of the `testing` feature and steer time by hand.
//!
//! A function asks for the port it needs (`&impl Clock`), not for all of them; [`Runtime`] is for
//! what is handed through to others.

mod clock;
mod random;
mod spawn;
mod timer;

#[cfg(feature = "testing")]
mod manual;
#[cfg(not(target_arch = "wasm32"))]
mod native;

pub use clock::{Clock, Monotonic};
#[cfg(feature = "testing")]
pub use manual::{ManualClock, ManualRuntime, ManualTimer, SeededRandom};
#[cfg(not(target_arch = "wasm32"))]
pub use native::{Background, SystemRuntime};
pub use random::{Random, uuid_v7};
pub use spawn::Spawn;
pub use timer::{Elapsed, Timer, timeout};

/// All ports in one, cheap to clone and to hand to other tasks.
pub trait Runtime: Clock + Timer + Random + Clone + Send + Sync + 'static {}

impl<T: Clock + Timer + Random + Clone + Send + Sync + 'static> Runtime for T {}
