//! `pitchey cache`: the cache that all origins share, and the proof of its promise.

mod simulate;

use crate::output::Output;
use clap::Subcommand;
use std::io::Write;
use std::process::ExitCode;

/// Look after the cache.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// What can be done about the cache.
#[derive(Debug, Subcommand)]
enum Command {
    /// Play made-up disasters against the cache and check that it never gives what was invalidated.
    ///
    /// Each schedule is a few seconds of readers, writers, two nodes, a shared tier and a lagging copy of the
    /// source, in which a seed decides what is lost, late or dies. Exits with 1 if the promise is broken, and
    /// prints what happened. Needs a build with the feature `simulation`.
    Simulate(simulate::Options),
}

pub(crate) async fn run(
    arguments: Arguments,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<ExitCode> {
    let mut output = Output::new(arguments.json, out);
    match arguments.command {
        Command::Simulate(options) => simulate::run(options, &mut output).await,
    }
}

#[cfg(test)]
mod tests;
