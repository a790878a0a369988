//! `pitchey db refresh-stats`: the scheduled statements, now.

use crate::span::span;
use crate::table::{Table, milliseconds};
use anyhow::Context as _;
use pitchey_runtime::{Clock as _, SystemRuntime};
use pitchey_sql::Statement;
use pitchey_store_pg::inspect::{Execution, Inspector};
use serde::Serialize;
use std::time::Duration;
use time::format_description::well_known::Rfc3339;

/// How much to refresh.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Score anew what was viewed in this span of time, as 90s, 15m, 6h or 30d; the rest keeps its place.
    #[arg(long, default_value = "1h", value_name = "SPAN", value_parser = span)]
    since: Duration,
}

/// A refresh of everything takes minutes on millions of rows.
const STEP_WITHIN: Duration = Duration::from_mins(30);

/// A step and its time.
#[derive(Debug, Serialize)]
struct Row {
    step: String,
    ms: f64,
}

/// All steps.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    steps: Vec<Row>,
}

/// Scores, the copies of the scores that lists sort by, the figures for dashboards, and the planner's
/// statistics of what has changed most.
pub(crate) async fn run(inspector: &mut Inspector, options: &Options) -> anyhow::Result<Report> {
    let since = (SystemRuntime::new().wall() - options.since).format(&Rfc3339)?;
    let mut steps = Vec::new();
    for name in ["trending.refresh", "listings.refresh_scores"] {
        inspector
            .prepare(statement(name)?.text)
            .await
            .context(name)?;
        let run = inspector
            .execute(&vec![Some(since.clone())], true, STEP_WITHIN)
            .await
            .context(name)?;
        steps.push(row(name, run));
    }
    let name = "stats.refresh";
    let run = inspector
        .execute_utility(statement(name)?.text, true, STEP_WITHIN)
        .await
        .context(name)?;
    steps.push(row(name, run));
    let run = inspector
        .analyze(&["pitch_listings", "mv_pitch_stats"], STEP_WITHIN)
        .await?;
    steps.push(row("ANALYZE pitch_listings, mv_pitch_stats", run));
    Ok(Report { steps })
}

fn statement(name: &str) -> anyhow::Result<&'static Statement> {
    pitchey_sql::statement(name).with_context(|| format!("there is no statement {name}"))
}

fn row(step: &str, run: Execution) -> Row {
    Row {
        step: step.to_owned(),
        ms: run.elapsed.as_secs_f64() * 1e3,
    }
}

impl Report {
    pub(crate) fn to_text(&self) -> String {
        let mut table = Table::new(&["step", ">ms"]);
        for row in &self.steps {
            table.row([row.step.clone(), milliseconds(row.ms)]);
        }
        table.to_text()
    }
}
