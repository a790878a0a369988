//! `pitchey outbox`: deliveries to caches and listeners.

use super::{By, Desk, counted};
use crate::figures::duration;
use crate::output::Output;
use crate::span::span;
use crate::table::{Table, count};
use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use pitchey_model::event::Event;
use pitchey_store_pg::{Backlog, OutboxStatus, Replay};
use serde::Serialize;
use std::time::Duration;

/// What can be done about deliveries.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show how far deliveries are behind; counts end at 100,000.
    Status,
    /// Deliver once more what was delivered lately: both invalidations and events, unless one is chosen.
    /// Delivered ones are kept for a day.
    Replay(Options),
}

/// What to deliver once more.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// What was delivered in this span of time, as 90s, 15m or 6h.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    since: Duration,
    /// Only invalidations of cached answers.
    #[arg(long, conflicts_with = "events")]
    tags: bool,
    /// Only events.
    #[arg(long)]
    events: bool,
    /// Only events of this kind.
    #[arg(long, requires = "events", value_parser = PossibleValuesParser::new(Event::KINDS))]
    kind: Option<String>,
    #[command(flatten)]
    by: By,
}

/// What is delivered once more; none of a sort that was not asked for.
#[derive(Debug, Default, Serialize)]
struct Replayed {
    tags: Option<u64>,
    events: Option<u64>,
}

pub(crate) async fn run(
    command: Command,
    desk: &Desk,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    match command {
        Command::Status => {
            let status = desk.store.outbox_status().await?;
            output.show(&status, || status_text(&status))
        }
        Command::Replay(options) => {
            let replayed = replay(desk, &options).await?;
            output.show(&replayed, || replayed.to_text())
        }
    }
}

async fn replay(desk: &Desk, options: &Options) -> anyhow::Result<Replayed> {
    let since = desk.now() - options.since;
    let operator = options.by.operator.as_str();
    let mut replayed = Replayed::default();
    if !options.events {
        let replay = desk
            .store
            .operate_replay(&Replay::Tags, since, operator, desk.now());
        replayed.tags = Some(replay.await?);
    }
    if !options.tags {
        let what = Replay::Events(options.kind.clone());
        let replay = desk
            .store
            .operate_replay(&what, since, operator, desk.now());
        replayed.events = Some(replay.await?);
    }
    Ok(replayed)
}

fn status_text(status: &OutboxStatus) -> String {
    let mut table = Table::new(&[
        "what",
        ">pending",
        ">oldest",
        ">delivered in 1 h",
        ">failures",
    ]);
    let mut row = |what: &str, backlog: &Backlog, failures: String| {
        let oldest = backlog.oldest_s.map_or_else(
            || "–".to_owned(),
            // A row of the future is one of a clock that is ahead.
            |seconds| duration(Duration::try_from_secs_f64(seconds).unwrap_or_default()),
        );
        table.row([
            what.to_owned(),
            count(backlog.pending as f64),
            oldest,
            count(backlog.delivered_last_hour as f64),
            failures,
        ]);
    };
    row("tags", &status.tags, "–".to_owned());
    row("events", &status.events, status.attempts_max.to_string());
    table.to_text()
}

impl Replayed {
    fn to_text(&self) -> String {
        let mut text = String::new();
        for (replayed, thing) in [(self.tags, "invalidation"), (self.events, "event")] {
            if let Some(replayed) = replayed {
                text.push_str(&counted(replayed, thing));
                text.push_str(" to be delivered once more\n");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_told_with_the_age_of_its_oldest() {
        let status = OutboxStatus {
            tags: Backlog {
                pending: 0,
                oldest_s: None,
                delivered_last_hour: 1234,
            },
            events: Backlog {
                pending: 100_000,
                oldest_s: Some(125.4),
                delivered_last_hour: 7,
            },
            attempts_max: 3,
        };
        insta::assert_snapshot!(status_text(&status), @r"
        WHAT    PENDING  OLDEST  DELIVERED IN 1 H  FAILURES
        tags          0       –             1,234         –
        events  100,000  2m 05s                 7         3
        ");
    }
}
