//! `pitchey cache`: the cache that all origins share, what one origin knows of it, and the proof of its promise.

mod answer;
mod node;
pub(crate) mod origin;
mod redis;
mod simulate;
mod warm;

use crate::Database;
use crate::output::Output;
use clap::Subcommand;
use pitchey_model::Email;
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
    /// Show what Redis holds: its clock, the announcements, and how many entries of which kind. With --origin, show
    /// what that origin knows instead: whether it hears Redis, what it trusts, and what is in its memory.
    Status(StatusOptions),
    /// Show what the caches of an origin did since it began.
    ///
    /// Kind by kind: all answers, the share of them for which nobody waited for the database, and where they came
    /// from: fresh from memory, fresh from Redis (shared), stale from either, from a load that somebody else was at
    /// already (coalesced), or from the database (miss). Of all answers, those that said that nothing is there
    /// (negative). Loads behind an answer (refreshes); loads that failed or took too long, and questions to Redis
    /// that did (errors). How long loads and questions to Redis took, in milliseconds, to a power of two.
    Stats(node::StatsOptions),
    /// Show what Redis holds under a key: how old it is, how long it is fresh, and what it was made from. Exits
    /// with 1 if there is nothing valid.
    Inspect(redis::InspectOptions),
    /// Have an origin load what will be asked for, and so all of them, as they share what is loaded. What is fresh is
    /// left alone. Exits with 1 if something is not warm then.
    Warm(warm::WarmOptions),
    /// Forget what is kept, in Redis and in the memory of all origins that are attached.
    ///
    /// What is purged, and by whom, is written into the audit log first, so the database must be there. If it is not,
    /// and what is kept is wrong, there is --no-audit.
    Purge(redis::PurgeOptions),
    /// Play made-up disasters against the cache and check that it never gives what was invalidated.
    ///
    /// Each schedule is a few seconds of readers, writers, two nodes, a shared tier and a lagging copy of the
    /// source, in which a seed decides what is lost, late or dies. Exits with 1 if the promise is broken, and
    /// prints what happened. Needs a build with the feature `simulation`.
    Simulate(simulate::Options),
}

/// What is looked at.
#[derive(Debug, Clone, clap::Args)]
struct StatusOptions {
    #[command(flatten)]
    redis: redis::OverviewOptions,
    // Not from the environment: a look at Redis would begin to ask for a password.
    /// Ask this origin instead, as `https://pitchey.example` or `http://127.0.0.1:8788`.
    #[arg(long, requires = "email", value_name = "URL")]
    origin: Option<origin::OriginUrl>,
    /// The administrator who asks an origin. The password is asked for, or read as a line from standard input.
    #[arg(
        long,
        env = "PITCHEY_EMAIL",
        hide_env_values = true,
        value_name = "ADDRESS"
    )]
    email: Option<Email>,
}

pub(crate) async fn run(
    arguments: Arguments,
    database: &Database,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<ExitCode> {
    let mut output = Output::new(arguments.json, out);
    match arguments.command {
        Command::Status(options) => match (&options.origin, &options.email) {
            (Some(origin), Some(email)) => node::status(origin, email, &mut output).await,
            _ => redis::status(options.redis, &mut output).await,
        },
        Command::Stats(options) => node::stats(options, &mut output).await,
        Command::Inspect(options) => redis::inspect(options, &mut output).await,
        Command::Warm(options) => warm::warm(options, &mut output).await,
        Command::Purge(options) => redis::purge(options, database, &mut output).await,
        Command::Simulate(options) => simulate::run(options, &mut output).await,
    }
}

#[cfg(test)]
mod tests;
