//! `pitchey`: what an operator does to a running platform, from a shell.
//!
//! Figures and results go to standard output (`--json` for programs), everything else to standard error.
//! Exit codes: 0 done, 1 failed or found something wrong, 2 called wrongly; a command that tells more apart
//! says so.
//!
//! A library with a thin program around it, so that tests can run what the program runs.

mod cache;
mod db;
mod edge;
mod figures;
mod hub;
pub mod import;
mod interrupt;
mod operate;
mod output;
mod password;
mod progress;
pub mod seed;
mod span;
mod table;
mod visible;

pub use interrupt::Interrupt;
pub use visible::visible_lines;

use clap::{Parser, Subcommand};
use pitchey_runtime::SystemRuntime;
use pitchey_store_pg::{PgStore, PoolConfig};
use secrecy::SecretString;
use std::io::Write;
use std::process::ExitCode;

/// The operator's tool for Pitchey.
#[derive(Debug, Parser)]
#[command(name = "pitchey", version)]
pub struct Cli {
    #[command(flatten)]
    database: Database,
    #[command(subcommand)]
    command: Command,
}

/// Where the database is.
#[derive(Debug, clap::Args)]
pub(crate) struct Database {
    /// The database, as postgres://user:password@host:port/name.
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        global = true,
        value_name = "URL"
    )]
    database_url: Option<SecretString>,
}

impl Database {
    pub(crate) fn url(&self) -> anyhow::Result<&SecretString> {
        self.database_url
            .as_ref()
            .ok_or_else(|| anyhow::anyhow!("no database: set DATABASE_URL or give --database-url"))
    }

    /// A small pool for a tool, whose statements may take longer than those of the service.
    pub(crate) fn connect(&self) -> anyhow::Result<PgStore> {
        let config = PoolConfig {
            max_connections: 4,
            statement_timeout_ms: 600_000,
            ..PoolConfig::default()
        };
        Ok(PgStore::connect_lazy(
            self.url()?,
            &config,
            SystemRuntime::new(),
        )?)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Operate(operate::Command),
    Db(db::Arguments),
    Cache(cache::Arguments),
    Hub(hub::Arguments),
    Edge(edge::Arguments),
    /// Take over what others have.
    #[command(subcommand)]
    Import(import::Command),
    /// Fill the database with generated data.
    Seed(seed::Arguments),
}

/// Runs a command; results go to `out`.
pub async fn run(cli: Cli, out: &mut (dyn Write + Send)) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Operate(command) => operate::run(command, &cli.database, out).await,
        Command::Db(arguments) => db::run(arguments, &cli.database, out).await,
        Command::Cache(arguments) => cache::run(arguments, &cli.database, out).await,
        Command::Hub(arguments) => hub::run(arguments, out).await,
        Command::Edge(arguments) => edge::run(arguments, out).await,
        Command::Import(command) => import::run(command, cli.database.url()?, out).await,
        Command::Seed(arguments) => seed::run(arguments, cli.database.url()?, out).await,
    }
}
