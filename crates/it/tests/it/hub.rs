//! The hub as its clients meet it: one contract for a hub that is alone and for two over Redis, those who
//! are not let in, and faults.

pub(crate) mod client;
pub(crate) mod contract;
mod desk;
mod faults;
mod refusals;
mod site;
