//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// The realtime server: rooms over WebSocket (`/ws`) and server-sent events (`/sse`).
///
/// Configuration comes from defaults, then the file, then the environment: `REDIS_URL`, and
/// `HUB_<SECTION>__<KEY>` for every key that `--check-config` shows.
#[derive(Debug, Parser)]
#[command(name = "hub", version, max_term_width = 100)]
pub struct Cli {
    /// A configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print the effective configuration without its secrets, and exit.
    #[arg(long)]
    pub check_config: bool,
}
