//! `pitchey db slow`: which statements take the server's time.

use crate::table::{Table, count, milliseconds};
use pitchey_store_pg::inspect::{InspectError, Inspector, SlowStatement};
use serde::Serialize;

/// What to show.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Statements to show, at most.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// What the first has most of.
    #[arg(long, value_enum, default_value_t = By::Total)]
    by: By,
    /// Forget the figures of this database after showing them.
    #[arg(long)]
    reset: bool,
}

/// An order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    /// Time, all runs together.
    Total,
    /// Time of a run.
    Mean,
}

/// A statement's figures.
#[derive(Debug, Serialize)]
struct Row {
    /// The statement's name, if it is one of the product's.
    statement: Option<String>,
    #[serde(flatten)]
    figures: SlowStatement,
}

/// The figures of the slowest.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    statements: Vec<Row>,
    reset: bool,
}

const HOW_TO_LOAD: &str = "start the server with shared_preload_libraries = 'pg_stat_statements' \
    (in postgresql.conf; a restart is needed)";

/// Asks the server.
pub(crate) async fn run(inspector: &mut Inspector, options: &Options) -> anyhow::Result<Report> {
    let found = inspector
        .slow_statements(options.by == By::Mean, options.limit)
        .await
        .map_err(explain)?;
    if options.reset {
        inspector
            .reset_statement_statistics()
            .await
            .map_err(explain)?;
    }
    let statements = found
        .into_iter()
        .map(|figures| Row {
            statement: name_in(&figures.query).map(str::to_owned),
            figures,
        })
        .collect();
    Ok(Report {
        statements,
        reset: options.reset,
    })
}

/// Says how to make it work.
fn explain(error: InspectError) -> anyhow::Error {
    match error {
        InspectError::Missing { .. } => anyhow::anyhow!(
            "pg_stat_statements is not in this database: {HOW_TO_LOAD}, then run \
             CREATE EXTENSION pg_stat_statements as a superuser"
        ),
        InspectError::NotLoaded { .. } => {
            anyhow::anyhow!(
                "pg_stat_statements is in this database, but not in the server: {HOW_TO_LOAD}"
            )
        }
        other => other.into(),
    }
}

/// The name that a statement of the product carries in its text.
fn name_in(query: &str) -> Option<&str> {
    let (_, rest) = query.split_once("/* ")?;
    let (name, _) = rest.split_once(" */")?;
    pitchey_sql::statement(name).map(|statement| statement.name)
}

impl Report {
    pub(crate) fn to_text(&self) -> String {
        let mut table = Table::new(&[
            "statement",
            ">calls",
            ">total ms",
            ">mean ms",
            ">stddev ms",
            ">max ms",
            ">rows/call",
            ">hit %",
        ]);
        for row in &self.statements {
            let figures = &row.figures;
            let calls = figures.calls.max(1) as f64;
            let pages = (figures.pages_hit + figures.pages_read) as f64;
            table.row([
                row.statement
                    .clone()
                    .unwrap_or_else(|| beginning(&figures.query)),
                count(figures.calls as f64),
                milliseconds(figures.total_ms),
                milliseconds(figures.mean_ms),
                milliseconds(figures.stddev_ms),
                milliseconds(figures.max_ms),
                format!("{:.1}", figures.rows as f64 / calls),
                if pages > 0.0 {
                    format!("{:.1}", 100.0 * figures.pages_hit as f64 / pages)
                } else {
                    "–".to_owned()
                },
            ]);
        }
        let mut text = if table.is_empty() {
            "no statement was counted yet\n".to_owned()
        } else {
            table.to_text()
        };
        if self.reset {
            text.push_str("the figures of this database were reset\n");
        }
        text
    }
}

/// The beginning of a text, in one line.
fn beginning(query: &str) -> String {
    const LENGTH: usize = 60;
    let line = query.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= LENGTH {
        return line;
    }
    let mut short: String = line.chars().take(LENGTH - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_known_by_the_name_in_its_text() {
        let ping = pitchey_sql::statement("health.ping").expect("it exists");
        assert_eq!(name_in(ping.text), Some("health.ping"));
        assert_eq!(name_in("SELECT /* health.pong */ 1"), None);
        assert_eq!(name_in("SELECT 1"), None);
    }

    #[test]
    fn figures_as_text() {
        let figures = |query: &str| SlowStatement {
            query: query.to_owned(),
            calls: 12_000,
            total_ms: 6_000.0,
            mean_ms: 0.5,
            stddev_ms: 0.1,
            max_ms: 12.0,
            rows: 24_000,
            pages_hit: 999,
            pages_read: 1,
        };
        let report = Report {
            statements: vec![
                Row {
                    statement: Some("health.ping".to_owned()),
                    figures: figures(""),
                },
                Row {
                    statement: None,
                    figures: SlowStatement {
                        pages_hit: 0,
                        pages_read: 0,
                        ..figures(
                            "SELECT a, b\n  FROM a_table_with_a_long_name WHERE something = $1 AND other = $2",
                        )
                    },
                },
            ],
            reset: true,
        };
        insta::assert_snapshot!(report.to_text());
    }
}
