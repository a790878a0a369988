//! The origin's process: configuration, logging, listeners, signals and exit codes.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use pitchey_origin::cli::Cli;
use pitchey_origin::{Config, serve};
use pitchey_process::until_stopped;
use tokio::net::TcpListener;

/// The exit code of wrong arguments (clap's own) and of a wrong configuration.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = match Config::load(cli.config.as_deref(), std::env::vars_os()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("origin: {error}");
            return ExitCode::from(USAGE);
        }
    };
    let outcome = if cli.check_config {
        config
            .to_redacted_toml()
            .map(|text| print!("{text}"))
            .map_err(anyhow::Error::from)
    } else {
        run(config)
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("origin: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config) -> anyhow::Result<()> {
    let _log = pitchey_telemetry::init(&config.log)?;
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let outcome = tokio.block_on(until_stopped(async |stop| {
        let bind = async |address| {
            let listener = TcpListener::bind(address).await;
            listener.with_context(|| format!("cannot listen on {address}"))
        };
        let listener = bind(config.http.address).await?;
        let metrics_listener = bind(config.metrics.address).await?;
        serve(listener, metrics_listener, config, stop.cancelled_owned()).await
    }));
    // A name that is being looked up in a thread would be waited for.
    tokio.shutdown_background();
    outcome
}
