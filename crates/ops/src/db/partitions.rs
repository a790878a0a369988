//! `pitchey db partitions`: the event tables' partitions, made ahead of time and dropped when old.

use crate::table::{Table, bytes, count};
use clap::Subcommand;
use pitchey_store_pg::inspect::{Inspector, Partition, PartitionedTable, Step};
use serde::Serialize;
use std::fmt::Write as _;
use time::OffsetDateTime;
use time::macros::format_description;

/// What to do about partitions.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Show the partitions.
    List,
    /// Make those that will soon be needed; those that exist stay as they are.
    Ensure(Ahead),
    /// Drop those that are older than what is kept, with their rows. Shows what it would drop, unless told
    /// to do it.
    Prune(Retention),
}

/// How far ahead.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Ahead {
    /// Months ahead of this one, for the events of users.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=24))]
    months: u32,
    /// Days ahead of today, for the measurements of browsers.
    #[arg(long, default_value_t = 7, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
}

/// How much is kept.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Retention {
    /// Whole months before this one to keep, of the events of users.
    #[arg(long, default_value_t = 24, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1200))]
    retain_months: u32,
    /// Whole days before today to keep, of the measurements of browsers.
    #[arg(long, default_value_t = 90, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36500))]
    retain_days: u32,
    /// Only show what would be dropped: the default.
    #[arg(long, conflicts_with = "apply")]
    dry_run: bool,
    /// Drop for good.
    #[arg(long)]
    apply: bool,
}

/// A table's partitions, and what was done.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    table: PartitionedTable,
    partitions: Vec<Partition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    made: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pruned: Option<Pruned>,
}

/// Partitions that were dropped, or would be.
#[derive(Debug, Serialize)]
struct Pruned {
    applied: bool,
    names: Vec<String>,
}

/// What there is, and what was done.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    tables: Vec<Row>,
}

/// Shows, makes or drops.
pub(crate) async fn run(inspector: &mut Inspector, command: &Command) -> anyhow::Result<Report> {
    let mut tables = Vec::new();
    for table in PartitionedTable::ALL {
        let by_step = |months, days| match table.step {
            Step::Month => months,
            Step::Day => days,
        };
        let mut made = None;
        let mut pruned = None;
        match command {
            Command::List => {}
            Command::Ensure(ahead) => {
                let steps = by_step(ahead.months, ahead.days);
                made = Some(inspector.ensure_partitions(table, steps).await?);
            }
            Command::Prune(retention) => {
                let steps = by_step(retention.retain_months, retention.retain_days);
                let mut partitions = inspector.partitions(table, Some(steps)).await?;
                partitions.retain(|partition| partition.is_expired);
                let names: Vec<_> = partitions.into_iter().map(|p| p.name).collect();
                if retention.apply {
                    for name in &names {
                        inspector.drop_partition(table, name).await?;
                    }
                }
                pruned = Some(Pruned {
                    applied: retention.apply,
                    names,
                });
            }
        }
        tables.push(Row {
            table,
            partitions: inspector.partitions(table, None).await?,
            made,
            pruned,
        });
    }
    Ok(Report { tables })
}

impl Report {
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        let mut table = Table::new(&["table", "partition", "from", "to", ">rows", ">size"]);
        for row in &self.tables {
            for partition in &row.partitions {
                table.row([
                    row.table.name.to_owned(),
                    partition.name.clone(),
                    day(partition.from_time),
                    day(partition.to_time),
                    count(partition.rows),
                    bytes(partition.bytes),
                ]);
            }
        }
        text.push_str(&table.to_text());
        for row in &self.tables {
            let name = row.table.name;
            if let Some(made) = row.made {
                let _ = writeln!(text, "{name}: {made} made");
            }
            if let Some(pruned) = &row.pruned {
                let what = if pruned.applied {
                    "dropped"
                } else {
                    "would be dropped (--apply does it)"
                };
                let names = if pruned.names.is_empty() {
                    "nothing".to_owned()
                } else {
                    pruned.names.join(", ")
                };
                let _ = writeln!(text, "{name}: {names} {what}");
            }
        }
        text
    }
}

/// Bounds are at midnight, UTC.
fn day(time: Option<OffsetDateTime>) -> String {
    time.and_then(|time| {
        time.format(format_description!("[year]-[month]-[day]"))
            .ok()
    })
    .unwrap_or_else(|| "–".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn partitions_are_listed_with_what_was_done() {
        let partition = |name: &str, from_time, to_time| Partition {
            name: name.to_owned(),
            from_time,
            to_time,
            rows: 1_234_567.0,
            bytes: 5 << 20,
            is_expired: false,
        };
        let report = Report {
            tables: vec![
                Row {
                    table: PartitionedTable::ANALYTICS,
                    partitions: vec![partition(
                        "analytics_events_202611",
                        Some(datetime!(2026-11-01 0:00 UTC)),
                        Some(datetime!(2026-12-01 0:00 UTC)),
                    )],
                    made: Some(2),
                    pruned: None,
                },
                Row {
                    table: PartitionedTable::RUM,
                    partitions: vec![partition("rum_events_default", None, None)],
                    made: None,
                    pruned: Some(Pruned {
                        applied: false,
                        names: vec!["rum_events_20200101".to_owned()],
                    }),
                },
            ],
        };
        insta::assert_snapshot!(report.to_text());
    }
}
