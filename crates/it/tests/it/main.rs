//! The integration tests: one binary, against real servers and processes.

mod accounts_pg;
mod attacks;
mod client;
mod counters_relay;
mod databases;
mod db;
mod deadlines_pg;
mod dev;
mod import;
mod invalidation_pg;
mod kills;
mod log_secrets;
mod market_pg;
mod operate;
mod origin;
mod outage;
mod outbox;
mod provision;
mod raw_requests;
mod replicas;
mod search;
mod security_doc;
mod seed;
mod store_contract;
mod story;
mod tiers;
