//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use http::Uri;

/// A shared HTTP cache in front of an origin.
///
/// Configuration comes from defaults, then the file, then the environment (`GATEWAY_<SECTION>__<KEY>` for
/// every key that `--check-config` shows), then these arguments. `--origin` alone is enough.
#[derive(Debug, Default, Parser)]
#[command(name = "gateway", version, max_term_width = 100)]
pub struct Cli {
    /// Where requests go that cannot be answered from the cache: `http://host:port` or `https://host`.
    #[arg(long, value_name = "URL")]
    pub origin: Option<Uri>,

    /// The address to listen on.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,

    /// Be the edge of Pitchey, before its origin: see the section `pitchey` of the configuration.
    #[arg(long)]
    pub pitchey: bool,

    /// A configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print the effective configuration without its secrets, and exit.
    #[arg(long)]
    pub check_config: bool,
}
