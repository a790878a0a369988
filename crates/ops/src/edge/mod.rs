//! `pitchey edge`: what an edge keeps and hears, and what it is told to forget or to ask for.

mod ask;
mod desk;

use crate::output::Output;
use clap::Subcommand;
use std::io::Write;
use std::process::ExitCode;

/// Look after the edges, which stand between clients and origins.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// What can be done about edges.
#[derive(Debug, Subcommand)]
enum Command {
    /// Show what an edge is, how much it keeps, and whether it hears what is invalidated.
    Status(ask::Door),
    /// Show what an edge has counted: requests, hits, errors and times of the last five minutes, hours, classes and
    /// locations.
    Figures(ask::Door),
    /// List the routes whose answers an edge keeps, and for how long.
    Routes(ask::Door),
    /// Have an edge forget what it keeps.
    ///
    /// In front of Pitchey everybody forgets it: the origins, what they share in Redis, and all other edges. In front
    /// of any site this edge does, and there are no tags.
    Purge(desk::PurgeOptions),
    /// Have an edge ask for paths before anybody else does. Exits with 1 if one of them is not answered well.
    Warm(desk::WarmOptions),
}

pub(crate) async fn run(
    arguments: Arguments,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<ExitCode> {
    let mut output = Output::new(arguments.json, out);
    match arguments.command {
        Command::Status(door) => desk::status(door, &mut output).await,
        Command::Figures(door) => desk::figures(door, &mut output).await,
        Command::Routes(door) => desk::routes(door, &mut output).await,
        Command::Purge(options) => desk::purge(options, &mut output).await,
        Command::Warm(options) => desk::warm(options, &mut output).await,
    }
}

#[cfg(test)]
mod tests;
