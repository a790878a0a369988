//! Postgres, Redis and the platform's processes, for tests and for a development run.
//!
//! Development only: nothing that is shipped depends on this crate.
//!
//! # One server for a run
//!
//! A test asks for a database with [`TestDb::new`] and for a logical Redis database with
//! [`TestRedis::new`]. Where the servers behind them come from is [`provision`]'s business:
//! `DATABASE_URL` and `REDIS_URL` if they are set, else a container, else the machine's own
//! programs, else programs installed by `apt-get`.
//!
//! `cargo xtask test` starts the servers once for the whole run (by the program `with-services`) and
//! hands them down in those two variables. A plain `cargo test` or `cargo nextest run` works too:
//! then each test process starts its own with the first test that asks, which takes about a second,
//! and stops them when it ends. `cargo test` has a process for each test binary, `cargo nextest` one
//! for each test, so prefer `cargo xtask test` for more than a few.
//!
//! # Faults
//!
//! A test puts a [`FaultProxy`] in front of a server to make the network bad, and takes an
//! [`OwnedPostgres`] or [`OwnedRedis`] to make the server itself bad: killed, restarted, paused
//! ([`process::Process::pause`]), empty, read-only or full.
//!
//! # Nothing is left over
//!
//! Whatever is started here is stopped and removed on return, panic, Ctrl-C and `kill -9` alike: see
//! [`guard`]. Databases of killed runs on a server that lives on are swept by the next run.

mod apt;
mod cache_api;
mod container;
mod fault_proxy;
mod gateway;
pub mod guard;
mod hub;
mod kv;
mod loopback;
pub mod native;
pub mod net;
pub mod plan;
pub mod postgres_server;
pub mod process;
mod process_table;
pub mod programs;
pub mod provision;
mod r2;
pub mod redis_server;
mod replica;
mod rest_redis;
mod s3;
pub mod service_user;
#[cfg(feature = "test-db")]
mod test_db;
mod test_redis;
pub mod wait;
mod worker;

pub use cache_api::CacheServer;
pub use fault_proxy::{Connects, Counts, Ending, FaultProxy, Faults, Flow, Passage};
pub use gateway::Gateway;
pub use hub::Hub;
pub use kv::KvServer;
pub use native::{Origin, Program};
pub use postgres_server::OwnedPostgres;
pub use r2::R2Server;
pub use redis_server::OwnedRedis;
pub use replica::OwnedReplica;
pub use rest_redis::RestRedis;
pub use s3::S3Server;
#[cfg(feature = "test-db")]
pub use test_db::TestDb;
pub use test_redis::TestRedis;
pub use worker::Worker;
