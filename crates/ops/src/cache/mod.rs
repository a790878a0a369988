//! `pitchey cache`: the cache that all origins share, and the proof of its promise.

mod redis;
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
    /// Show what Redis holds: its clock, the announcements, and how many entries of which kind. What an origin
    /// holds and did is at its `/api/cache/status` and `/api/cache/stats`.
    Status(redis::StatusOptions),
    /// Show what Redis holds under a key: how old it is, how long it is fresh, and what it was made from. Exits
    /// with 1 if there is nothing valid.
    Inspect(redis::InspectOptions),
    /// Forget what is kept, in Redis and in the memory of all origins that are attached.
    Purge(redis::PurgeOptions),
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
        Command::Status(options) => redis::status(options, &mut output).await,
        Command::Inspect(options) => redis::inspect(options, &mut output).await,
        Command::Purge(options) => redis::purge(options, &mut output).await,
        Command::Simulate(options) => simulate::run(options, &mut output).await,
    }
}

#[cfg(test)]
mod tests;
