//! The integration tests: one binary, against real servers and processes.

mod accounts_pg;
mod databases;
mod db;
mod dev;
mod import;
mod market_pg;
mod origin;
mod outage;
mod outbox;
mod provision;
mod raw_requests;
mod search;
mod seed;
mod store_contract;
