//! The integration tests: one binary, against real servers and processes.

mod databases;
mod db;
mod dev;
mod import;
mod origin;
mod outage;
mod provision;
mod raw_requests;
mod search;
mod seed;
mod store_contract;
