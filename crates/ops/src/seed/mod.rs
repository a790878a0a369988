//! `pitchey seed`: a database full of plausible data, for development and for benchmarks.
//!
//! The same `--pitches`, `--users`, `--seed` and `--until` give the same rows, ids included, on every machine.
//! There are accounts of every role, pitches in every state (about 85 % of them on the site), views that follow
//! Zipf's law, saves, follows, NDAs and interests in every state, notifications, sessions nobody holds the token
//! of, and events of the last weeks. Dates are spread over the three years before `--until`.
//!
//! For each pitch there are about four views and three entries in lists, one notification, half a save, half a
//! follow, a quarter of an NDA and a fifth of an interest; and up to 500,000 events of visitors and 250,000
//! measurements.
//!
//! **A small load**, or one into a database that has rows (`--force`), is one transaction.
//!
//! **A large load** into an empty database takes indexes, foreign keys and triggers off, copies in several
//! streams, and builds everything again; at the end it compares the catalog with what it was. A failure or Ctrl-C
//! empties the tables and puts everything back. After `kill -9` the next `pitchey seed` does that first, or
//! `pitchey seed --clean-up` alone. Nothing else may write to the database meanwhile.

mod deals;
mod events;
mod load;
mod people;
mod pitches;
mod random;
mod report;
mod run;
mod text;
mod words;
mod work;
mod world;

pub use report::{PhaseReport, Report, TableReport};
pub use run::{SeedOptions, clean_up, seed};

use crate::interrupt::{EXIT_INTERRUPTED, Interrupt};
use pitchey_runtime::{Clock as _, SystemRuntime};
use secrecy::SecretString;
use std::io::Write;
use std::process::ExitCode;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, Time};
use tokio::task::JoinSet;
use world::{MAX_ROWS, MIN_USERS};

/// What is generated.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many pitches.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=MAX_ROWS))]
    pitches: u64,
    /// How many accounts; a tenth of the pitches if not given, 20 at least.
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u64).range(MIN_USERS..=MAX_ROWS))]
    users: Option<u64>,
    /// Another number gives other data.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// The moment before which everything has happened, as 2026-05-31 or 2026-05-31T14:00:00Z; the last full hour
    /// if not given.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<OffsetDateTime>,
    /// Add to what is in the database.
    #[arg(long)]
    force: bool,
    /// Only put right what an earlier run left when it was killed.
    #[arg(long)]
    clean_up: bool,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

fn moment(text: &str) -> Result<OffsetDateTime, String> {
    let day = Date::parse(text, format_description!("[year]-[month]-[day]"));
    let moment = day
        .map(|day| day.midnight().assume_utc())
        .or_else(|_| OffsetDateTime::parse(text, &Rfc3339))
        .map_err(|_| "a moment is written as 2026-05-31 or 2026-05-31T14:00:00Z".to_owned())?;
    if (2000..=2199).contains(&moment.year()) {
        Ok(moment)
    } else {
        Err("the year must be 2000 to 2199".to_owned())
    }
}

/// The last full hour, so that the last hour has events in it and runs soon after another are alike.
fn last_hour(now: OffsetDateTime) -> OffsetDateTime {
    let hour = Time::from_hms(now.hour(), 0, 0).unwrap_or(Time::MIDNIGHT);
    now.replace_time(hour)
}

pub(crate) async fn run(
    arguments: Arguments,
    database_url: &SecretString,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<ExitCode> {
    let runtime = SystemRuntime::new();
    if arguments.clean_up {
        let what = if clean_up(database_url).await? {
            "what an earlier run left is gone, and everything is as it was before it"
        } else {
            "nothing was left by an earlier run"
        };
        writeln!(out, "{what}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut tasks = JoinSet::new();
    let interrupt = Interrupt::listen(
        &mut tasks,
        "stopping and cleaning up; again to stop at once, which leaves that to the next run",
    )?;
    let options = SeedOptions {
        seed: arguments.seed,
        force: arguments.force,
        ..SeedOptions::new(
            arguments.pitches,
            arguments.until.unwrap_or_else(|| last_hour(runtime.wall())),
        )
    };
    let options = SeedOptions {
        users: arguments.users.unwrap_or(options.users),
        ..options
    };
    let Some(report) = seed(&options, database_url, runtime, interrupt).await? else {
        writeln!(out, "stopped; nothing of it stays")?;
        return Ok(ExitCode::from(EXIT_INTERRUPTED));
    };
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_moment_is_a_day_or_a_time() {
        assert_eq!(moment("2026-05-31"), Ok(datetime!(2026-05-31 0:00 UTC)));
        assert_eq!(
            moment("2026-05-31T14:00:00Z"),
            Ok(datetime!(2026-05-31 14:00 UTC))
        );
        for wrong in ["", "yesterday", "2026-13-01", "1999-12-31", "2200-01-01"] {
            moment(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn the_last_hour_is_full() {
        assert_eq!(
            last_hour(datetime!(2026-05-31 14:59:59.999 UTC)),
            datetime!(2026-05-31 14:00 UTC)
        );
    }
}
