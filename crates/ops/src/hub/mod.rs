//! `pitchey hub`: what a hub holds, what it is told to do, and load on hubs.

mod address;
mod ask;
mod desk;
mod load;

use crate::output::Output;
use clap::Subcommand;
use std::io::Write;
use std::process::ExitCode;

/// Look after the hubs, which tell what happens as it happens.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// What can be done about hubs.
#[derive(Debug, Subcommand)]
enum Command {
    /// Connect many, publish, and check that nobody sees an update twice, out of order, or misses one untold.
    ///
    /// Everyone enters one room, and knows from the answers to what was published where each room has to stand in
    /// the end. Exits with 1 if the promise is broken, if somebody does not get in, or if somebody is still behind
    /// 15 seconds after the last publication. Ctrl-C ends the publishing early, and the check is made nevertheless.
    Load(Box<load::Options>),
    /// Show whether a hub takes connections, how many it has, and of whom.
    Status(desk::Door),
    /// List the rooms of a hub: how many connections are in each, and where it stands.
    Rooms(desk::RoomsOptions),
    /// Close the connections of an account, or of one of its sessions, at all hubs.
    ///
    /// They are closed with 4003. Whoever is still signed in can connect again with a new ticket: to keep somebody
    /// out, end the sessions first, by `pitchey sessions`.
    Kick(desk::KickOptions),
    /// Tell everyone in a room something, as the site does.
    Publish(desk::PublishOptions),
    /// Have a hub send everyone elsewhere in waves, and end, as on SIGTERM.
    Drain(desk::DrainOptions),
}

pub(crate) async fn run(
    arguments: Arguments,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<ExitCode> {
    let mut output = Output::new(arguments.json, out);
    match arguments.command {
        Command::Load(options) => load::run(*options, &mut output).await,
        Command::Status(door) => desk::status(door, &mut output).await,
        Command::Rooms(options) => desk::rooms(options, &mut output).await,
        Command::Kick(options) => desk::kick(options, &mut output).await,
        Command::Publish(options) => desk::publish(options, &mut output).await,
        Command::Drain(options) => desk::drain(options, &mut output).await,
    }
}

#[cfg(test)]
mod tests;
