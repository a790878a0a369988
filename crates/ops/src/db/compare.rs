//! `pitchey db indexes compare`: each statement with and without each index that it names.

use super::plan::Explained;
use super::times::Figures;
use super::verify::{is_planned, stand_ins};
use crate::table::{Table, milliseconds};
use anyhow::Context as _;
use pitchey_sql::Statement;
use pitchey_store_pg::inspect::{
    Catalog, InspectError, Inspector, Parameters, PlanMode, PlanOptions,
};
use serde::Serialize;
use std::time::Duration;

/// How to compare.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    selection: super::Selection,
    /// Sets of parameters for each statement, at most.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    samples: u16,
    /// Give up on a run after so many seconds.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=600))]
    timeout: u16,
    /// Confirms that this is a copy that nobody works on: without its index, a statement may read all of a
    /// large table many times over, and what statements write is locked until it is rolled back.
    #[arg(long)]
    on_a_copy: bool,
}

impl Options {
    fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout.into())
    }
}

/// What a statement took.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// So many milliseconds, the median of all samples.
    P50Ms(f64),
    /// It was cancelled after so many milliseconds.
    MoreThanMs(f64),
    /// It cannot run.
    Failed(String),
}

/// A statement with and without one of its indexes.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    statement: &'static str,
    index: String,
    with: Outcome,
    without: Outcome,
    plan_with: String,
    plan_without: String,
}

impl Row {
    /// How many times longer it takes without the index; at least so many, if it was cancelled.
    fn ratio(&self) -> Option<f64> {
        match (&self.with, &self.without) {
            (Outcome::P50Ms(with), Outcome::P50Ms(without) | Outcome::MoreThanMs(without))
                if *with > 0.0 =>
            {
                Some(without / with)
            }
            _ => None,
        }
    }
}

/// All pairs of a statement and an index.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    comparisons: Vec<Row>,
}

/// Runs every statement with and without every index it names.
pub(crate) async fn run(inspector: &mut Inspector, options: &Options) -> anyhow::Result<Report> {
    anyhow::ensure!(
        options.on_a_copy,
        "this runs every statement without its indexes, which can bring a server in use to its knees: \
         run it on a copy of the database, and say so with --on-a-copy"
    );
    let catalog = inspector.catalog().await?;
    let statements = options.selection.statements()?;
    let mut progress = super::progress(statements.len());
    let mut comparisons = Vec::new();
    for (at, statement) in (0..).zip(statements) {
        progress.at(at, at);
        if is_planned(statement) {
            let rows = compare(inspector, &catalog, statement, options).await;
            comparisons.extend(rows.context(statement.name)?);
        }
    }
    drop(progress);
    Ok(Report { comparisons })
}

async fn compare(
    inspector: &mut Inspector,
    catalog: &Catalog,
    statement: &'static Statement,
    options: &Options,
) -> anyhow::Result<Vec<Row>> {
    let types = inspector.prepare(statement.text).await?;
    let mut samples = inspector.samples(statement.sample).await?;
    if samples.is_empty() {
        samples.push(stand_ins(&types));
    }
    samples.truncate(options.samples.into());
    // Once for nothing, so that the first does not pay for a cold cache.
    run_all(inspector, catalog, &samples, None, options).await?;
    let (with, plan_with) = run_all(inspector, catalog, &samples, None, options).await?;
    let mut rows = Vec::new();
    for index in statement.index_names() {
        if catalog.index(index).is_none() {
            continue;
        }
        let (without, plan_without) =
            run_all(inspector, catalog, &samples, Some(index), options).await?;
        rows.push(Row {
            statement: statement.name,
            index: index.to_owned(),
            with: with.clone(),
            without,
            plan_with: plan_with.clone(),
            plan_without,
        });
    }
    Ok(rows)
}

/// Runs all samples; gives their median and the outline of the last plan.
async fn run_all(
    inspector: &mut Inspector,
    catalog: &Catalog,
    samples: &[Parameters],
    without_index: Option<&str>,
    options: &Options,
) -> anyhow::Result<(Outcome, String)> {
    let plan_options = |analyze| PlanOptions {
        mode: PlanMode::Custom,
        analyze,
        avoid_sequential_scans: false,
        without_index,
        timeout: options.timeout(),
    };
    let mut times = Vec::new();
    let mut outline = String::new();
    for sample in samples {
        match inspector.explain(sample, plan_options(true)).await {
            Ok(json) => {
                let explained = Explained::parse(json)?;
                let ms = explained.execution_ms.unwrap_or_default();
                times.push(Duration::from_secs_f64(ms / 1e3));
                outline = explained.plan.outline(catalog);
            }
            // One is enough to know.
            Err(InspectError::Timeout { .. }) => {
                let json = inspector.explain(sample, plan_options(false)).await?;
                return Ok((
                    Outcome::MoreThanMs(options.timeout().as_secs_f64() * 1e3),
                    Explained::parse(json)?.plan.outline(catalog),
                ));
            }
            // As an `ON CONFLICT` does whose unique index is not there.
            Err(InspectError::Failed { source, .. }) if without_index.is_some() => {
                return Ok((Outcome::Failed(source.to_string()), String::new()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let p50_ms = Figures::of(times).map_or(0.0, |figures| figures.p50_ms);
    Ok((Outcome::P50Ms(p50_ms), outline))
}

impl Outcome {
    fn to_text(&self) -> String {
        match self {
            Self::P50Ms(ms) => milliseconds(*ms),
            Self::MoreThanMs(ms) => format!("> {}", milliseconds(*ms)),
            Self::Failed(_) => "fails".to_owned(),
        }
    }
}

impl Report {
    pub(crate) fn to_text(&self) -> String {
        let mut table = Table::new(&[
            "statement",
            "index",
            ">with ms",
            ">without ms",
            ">ratio",
            "plan with",
            "plan without",
        ]);
        for row in &self.comparisons {
            let same = row.plan_with == row.plan_without;
            table.row([
                row.statement.to_owned(),
                row.index.clone(),
                row.with.to_text(),
                row.without.to_text(),
                row.ratio()
                    .map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.1}")),
                row.plan_with.clone(),
                match &row.without {
                    Outcome::Failed(message) => message.clone(),
                    _ if same => "the same".to_owned(),
                    _ => row.plan_without.clone(),
                },
            ]);
        }
        table.to_text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(with: Outcome, without: Outcome) -> Row {
        Row {
            statement: "things.list",
            index: "things_list".to_owned(),
            with,
            without,
            plan_with: "Index Scan things_list".to_owned(),
            plan_without: "Sort, Seq Scan things".to_owned(),
        }
    }

    #[test]
    fn a_ratio_needs_two_times() {
        let ratio = |with, without| row(with, without).ratio();
        assert_eq!(
            ratio(Outcome::P50Ms(0.5), Outcome::P50Ms(50.0)),
            Some(100.0)
        );
        assert_eq!(
            ratio(Outcome::P50Ms(0.5), Outcome::MoreThanMs(30_000.0)),
            Some(60_000.0)
        );
        assert_eq!(
            ratio(Outcome::P50Ms(0.0), Outcome::P50Ms(1.0)),
            None,
            "nothing is infinitely faster"
        );
        assert_eq!(
            ratio(Outcome::P50Ms(1.0), Outcome::Failed(String::new())),
            None
        );
    }

    #[test]
    fn a_comparison_as_text() {
        let same = Row {
            plan_without: "Index Scan things_list".to_owned(),
            ..row(Outcome::P50Ms(0.512), Outcome::P50Ms(0.498))
        };
        let report = Report {
            comparisons: vec![
                row(Outcome::P50Ms(0.5), Outcome::P50Ms(1234.5)),
                row(Outcome::P50Ms(0.5), Outcome::MoreThanMs(30_000.0)),
                row(
                    Outcome::P50Ms(0.5),
                    Outcome::Failed("no such constraint".to_owned()),
                ),
                same,
            ],
        };
        insta::assert_snapshot!(report.to_text());
    }
}
