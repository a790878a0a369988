//! The hub's process: configuration, logging, the listener, signals and exit codes.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use pitchey_hub::cli::Cli;
use pitchey_hub::{Config, serve};
use pitchey_process::until_stopped;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};

/// The exit code of wrong arguments (clap's own) and of a wrong configuration.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = match Config::load(cli.config.as_deref(), std::env::vars()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("hub: {error}");
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
            eprintln!("hub: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// How many wait at once to be accepted, if the kernel lets as many: after a failure of a network all come at once,
/// and who finds no place there tries again a second later.
const BACKLOG: u32 = 4096;

/// Files that are open beside the connections of clients.
const OTHER_FILES: u64 = 128;

fn run(config: Config) -> anyhow::Result<()> {
    let _log = pitchey_telemetry::init(&config.log)?;
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let outcome = tokio.block_on(until_stopped(async |stop| {
        let bind = |address| bind(address).with_context(|| format!("cannot listen on {address}"));
        let listener = bind(config.http.address)?;
        let metrics_listener = bind(config.metrics.address)?;
        allow_files(config.http.max_connections);
        serve(listener, metrics_listener, config, stop.cancelled_owned()).await
    }));
    // A name that is being looked up in a thread would be waited for.
    tokio.shutdown_background();
    outcome
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Has the kernel allow as many open files as it will: each connection is one. By default it allows far fewer.
fn allow_files(connections: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if most < connections as u64 + OTHER_FILES {
        tracing::warn!(
            most,
            connections,
            "fewer files may be open than connections are allowed"
        );
    }
}
