//! The API over the in-memory store: every endpoint, good input and bad, as everybody.

mod accounts;
mod bad_input;
mod beacons;
mod cache_desk;
mod deals;
mod limits;
mod once;
mod pitches;
mod reads;
mod roles;
mod security;
mod support;
