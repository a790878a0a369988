//! The whole platform on this machine, for those who work on it: `cargo xtask dev`.
//!
//! Postgres and Redis are this run's own, with their data in `target/dev`, unless `DATABASE_URL` and
//! `REDIS_URL` name others. A new database is filled with generated data or imported films. The run
//! ends with the first Ctrl-C, in order, or when one of its processes dies.

mod data;
mod platform;
mod signals;

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum};

use platform::Platform;
use signals::Interrupts;

/// Runs the whole platform on this machine, with data.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask dev")]
pub(crate) struct Options {
    /// Where the data and the logs are kept.
    #[arg(long, default_value = "target/dev", hide = true)]
    directory: PathBuf,
    /// Import these films (NDJSON, also .gz or .zst) instead of generating data.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Forget what earlier runs have kept and begin anew.
    #[arg(long)]
    fresh: bool,
    /// How many pitches to generate for a new database.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pitches: u32,
    /// What the edge runs on.
    #[arg(long, value_enum, default_value_t = Edge::Gateway)]
    edge: Edge,
    /// The origin's port: 8788, or a free one if that is taken.
    #[arg(long)]
    port: Option<u16>,
}

/// What the edge runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Edge {
    /// A process of its own.
    Gateway,
    /// The runtime of Cloudflare Workers, as far as it runs here. What is told as it happens does not go
    /// through it.
    Workerd,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("dev: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode> {
    let interrupts = Interrupts::listen()?;
    std::fs::create_dir_all(options.directory.join("logs"))?;
    let directory = options.directory.canonicalize()?;
    let _lock = lock(&directory)?;
    let mut platform = Platform::new(&directory, &interrupts)?;
    // Whatever goes wrong on the way, what was started is stopped in order.
    let outcome = platform.start(options).and_then(|()| {
        if interrupts.none() {
            platform.announce();
        }
        platform.watch()
    });
    platform.stop();
    match outcome {
        Err(_) if !interrupts.none() => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

/// Claims the directory for this run; the claim ends with the process, however it ends.
fn lock(directory: &Path) -> Result<File> {
    let path = directory.join("lock");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)?;
    if file.try_lock().is_err() {
        let mut owner = String::new();
        (&file).take(20).read_to_string(&mut owner)?;
        let owner = owner.trim();
        bail!(
            "a development run is under way already: process {owner}; stop it first (kill {owner})"
        );
    }
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", std::process::id()).context("cannot write the lock")?;
    Ok(file)
}

/// Prints a line. A terminal that has gone away is no reason to end without tidying up.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_well_formed() {
        <Options as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_second_run_is_told_of_the_first() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let first = lock(directory.path()).expect("nobody has it");
        let error = lock(directory.path()).expect_err("it is taken").to_string();
        assert!(
            error.contains(&format!("kill {}", std::process::id())),
            "{error}"
        );
        drop(first);
        lock(directory.path()).expect("it is free again");
    }
}
