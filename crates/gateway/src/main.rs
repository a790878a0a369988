//! The gateway's process: arguments, configuration, logging, listener, signals and exit codes.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use pitchey_gateway::cli::Cli;
use pitchey_gateway::{Config, serve};
use pitchey_process::until_stopped;
use tokio::net::TcpListener;

/// The exit code of wrong arguments (clap's own) and of a wrong configuration.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = match Config::load(&cli) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("gateway: {error}");
            return ExitCode::from(USAGE);
        }
    };
    let outcome = if cli.check_config {
        toml::to_string(&config)
            .map(|text| print!("{text}"))
            .map_err(anyhow::Error::from)
    } else {
        run(config)
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config) -> anyhow::Result<()> {
    let _log = pitchey_telemetry::init(&config.log)?;
    // Threads that steal from each other cost something; one needs none of it.
    let mut builder = match config.http.threads() {
        1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    let tokio = builder.enable_all().build()?;
    let outcome = tokio.block_on(until_stopped(async |stop| {
        let listener = bind(config.http.address).await?;
        let scrapers = match config.metrics.address {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        serve(listener, scrapers, config, stop).await
    }));
    // A name that is being looked up in a thread would be waited for.
    tokio.shutdown_background();
    outcome
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {address}"))
}
