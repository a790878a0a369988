//! Passwords: how they are hashed and checked, and which would be guessed too soon.
//!
//! Nothing here has threads, a clock or randomness: the origin hashes in the background, an operator's
//! tool in the foreground, both with the same parameters.
//!
//! Sources: RFC 9106 (Argon2), the PHC string format, and OWASP's Password Storage Cheat Sheet for
//! the parameters.

mod argon;
mod strength;

pub use argon::{BadParameters, Checked, Memory, Parameters, Salt, check, hash};
pub use strength::is_too_weak;
