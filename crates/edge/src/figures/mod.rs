//! What an edge counts of its answers, and what is made of it: windows of five minutes, and hours.
//!
//! A [`Tally`] counts; the [`Counts`] that are taken from it can be added up, wherever they come from. A process
//! that lives on keeps a [`Ledger`]; isolates, which do not, write theirs to a far store, where a
//! [`Collector`] adds them up.

mod answered;
mod collector;
mod ledger;
mod tally;
mod window;

pub use answered::{Answered, Class};
pub use collector::Collector;
pub use ledger::{Ledger, Told};
pub use tally::{Counts, Tally};
pub use window::{Figures, Summary, Window};

#[cfg(test)]
mod tests;
