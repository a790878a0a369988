//! Builds, runs, tests and checks the workspace: `cargo xtask <command>`.
//!
//! A dispatcher: each command is a module, and what needs the workspace's code runs as a child.

mod autobahn;
mod bench;
mod ci;
mod client;
mod deps;
mod dev;
mod docker_image;
mod fuzz;
mod migrations;
mod setup;
mod sqlx;
mod steps;
mod test;
mod tidy;
mod wasm;
mod worker;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Builds, runs, tests and checks the workspace.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Find or install what the other commands need; safe to repeat.
    Setup,
    /// Run the whole platform on this machine, with data; its own --help tells more.
    #[command(disable_help_flag = true)]
    Dev {
        /// Options of the development run.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run the tests, with a Postgres and a Redis of their own.
    #[command(disable_help_flag = true)]
    Test {
        /// Arguments of `cargo nextest run`, as in `-p pitchey-store-pg search`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run every check that a change must pass.
    Ci,
    /// Bring the database at `DATABASE_URL`, or that of the development run, to the current schema.
    Migrate,
    /// Run the benchmark of this name, or all of them.
    Bench {
        /// The name of a bench target.
        name: Option<String>,
        /// Arguments of the benchmark itself.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Fuzz the whole API from its OpenAPI document, as everybody.
    Fuzz {
        /// For how long, in seconds.
        #[arg(long, default_value_t = 300)]
        seconds: u32,
        /// The same seed, the same requests.
        #[arg(long, default_value_t = 1)]
        seed: u32,
    },
    /// Check and test the browser's client of the realtime protocol.
    Client,
    /// Run the Autobahn test suite against the hub.
    Autobahn,
    /// Check that no crate depends on one that docs/ARCHITECTURE.md does not allow it.
    Deps,
    /// Check that the crates marked for WebAssembly build for it.
    Wasm,
    /// Build, measure or run the edge on Workers.
    Worker {
        #[command(subcommand)]
        action: worker::Action,
    },
    /// Check the house rules that no other tool knows.
    Tidy,
    /// Check that no migration that was committed has changed or gone.
    Migrations,
    /// Renew the offline data of the statements that are checked at compile time.
    Sqlx {
        /// Change nothing; fail if it is not current.
        #[arg(long)]
        check: bool,
    },
    /// Make local images of Postgres and Redis from Debian packages, for where none can be pulled.
    DockerImage,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = Workspace::find().and_then(|workspace| match options.command {
        Command::Setup => setup::run(&workspace),
        Command::Dev { arguments } => dev::run(&workspace, &arguments),
        Command::Test { arguments } => test::run(&workspace, &arguments),
        Command::Ci => ci::run(&workspace),
        Command::Migrate => dev::migrate(&workspace),
        Command::Bench { name, arguments } => bench::run(&workspace, name.as_deref(), &arguments),
        Command::Fuzz { seconds, seed } => fuzz::run(&workspace, seconds, seed),
        Command::Client => client::run(&workspace),
        Command::Autobahn => autobahn::run(&workspace),
        Command::Deps => deps::run(&workspace),
        Command::Wasm => wasm::run(&workspace),
        Command::Worker { action } => worker::run(&workspace, &action),
        Command::Tidy => tidy::run(&workspace),
        Command::Migrations => migrations::run(&workspace),
        Command::Sqlx { check } => sqlx::run(&workspace, check),
        Command::DockerImage => docker_image::run(&workspace),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
