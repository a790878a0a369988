//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// The server of record: the API over PostgreSQL.
///
/// Configuration comes from defaults, then the file, then the environment: `DATABASE_URL`, and
/// `PITCHEY_<SECTION>__<KEY>` for every key that `--check-config` shows.
#[derive(Debug, Parser)]
#[command(name = "origin", version, max_term_width = 100)]
pub struct Cli {
    /// A configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print the effective configuration without its secrets, and exit.
    #[arg(long)]
    pub check_config: bool,
}
