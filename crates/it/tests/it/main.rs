//! The integration tests: one binary, against real servers and processes.

mod accounts_pg;
mod attacks;
mod client;
mod counters_relay;
mod databases;
mod db;
mod dev;
mod import;
mod kills;
mod log_secrets;
mod market_pg;
mod operate;
mod origin;
mod outage;
mod outbox;
mod overload;
mod provision;
mod raw_requests;
mod search;
mod security_doc;
mod seed;
mod store_contract;
mod story;
