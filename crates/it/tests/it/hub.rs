//! The rooms as their clients meet them: one contract for a hub that is alone, for two over Redis and for a
//! Durable Object, those who are not let in, and faults.

pub(crate) mod client;
pub(crate) mod contract;
mod desk;
mod faults;
mod object;
mod refusals;
pub(crate) mod shell;
mod site;
