//! `pitchey db bench`: the time of every statement with representative parameters.

use super::times::Figures;
use super::verify::{is_planned, stand_ins};
use crate::table::{Table, bytes, count, milliseconds};
use anyhow::Context as _;
use pitchey_runtime::{Clock as _, SystemRuntime};
use pitchey_sql::Statement;
use pitchey_store_pg::inspect::{
    Execution, Inspector, Parameters, PlanMode, PlanOptions, Relation, Server,
};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// How to measure.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    selection: super::Selection,
    /// Sets of parameters for each statement, at most.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    samples: u16,
    /// Runs of each statement, at most; at least one with every set of parameters.
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,
    /// Time for each statement, at most, after one run with every set of parameters.
    #[arg(long, default_value_t = 3, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
    /// Write the table to this file as Markdown too.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

/// A run that takes longer is cancelled, and fails.
const RUN_WITHIN: Duration = Duration::from_mins(10);

/// What a statement does, as far as measuring goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Class {
    /// It reads.
    Read,
    /// It writes; what it wrote was rolled back.
    Write,
    /// It runs by the clock: nobody waits for it, and no target holds for it.
    Scheduled,
}

impl Class {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Scheduled => "scheduled",
        }
    }
}

/// What a statement's time is held against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Target {
    p50_ms: f64,
    p99_ms: f64,
}

impl Target {
    fn of(statement: &Statement, class: Class) -> Option<Self> {
        match (statement.name, class) {
            (_, Class::Scheduled) => None,
            ("search.page", _) => Some(Self {
                p50_ms: 10.0,
                p99_ms: 20.0,
            }),
            _ => Some(Self {
                p50_ms: 2.0,
                p99_ms: 20.0,
            }),
        }
    }

    fn is_met(self, figures: Figures) -> bool {
        figures.p50_ms < self.p50_ms && figures.p99_ms < self.p99_ms
    }
}

/// The figures of one statement.
#[derive(Debug, Serialize)]
struct Row {
    statement: &'static str,
    class: Class,
    samples: usize,
    rows: f64,
    #[serde(flatten)]
    figures: Figures,
    target: Option<Target>,
    meets_target: Option<bool>,
}

/// The figures of all, and on what they were had.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: String,
    server: Server,
    tables: Vec<Relation>,
    statements: Vec<Row>,
}

/// Measures all statements, one after the other, on one connection.
pub(crate) async fn run(inspector: &mut Inspector, options: &Options) -> anyhow::Result<Report> {
    let statements = options.selection.statements()?;
    let mut progress = super::progress(statements.len());
    let mut rows = Vec::new();
    for (at, statement) in (0..).zip(statements) {
        progress.at(at, at);
        let row = measure(inspector, statement, options)
            .await
            .context(statement.name)?;
        rows.extend(row);
    }
    drop(progress);
    let mut tables = inspector.catalog().await?.relations;
    tables.retain(|table| table.partition_of.is_none() && table.rows >= 1.0);
    tables.sort_by(|a, b| b.rows.total_cmp(&a.rows));
    Ok(Report {
        machine: machine(),
        server: inspector.server().await?,
        tables,
        statements: rows,
    })
}

async fn measure(
    inspector: &mut Inspector,
    statement: &'static Statement,
    options: &Options,
) -> anyhow::Result<Option<Row>> {
    let is_scheduled = statement.purpose.ends_with("; scheduled");
    if !is_planned(statement) {
        let run = inspector
            .execute_utility(statement.text, false, RUN_WITHIN)
            .await?;
        return Ok(row(statement, Class::Scheduled, 0, &[run]));
    }
    let types = inspector.prepare(statement.text).await?;
    let mut samples = inspector.samples(statement.sample).await?;
    if samples.is_empty() {
        samples.push(stand_ins(&types));
    }
    samples.truncate(options.samples.into());
    let class = if is_scheduled {
        Class::Scheduled
    } else if writes(inspector, &samples[0]).await? {
        Class::Write
    } else {
        Class::Read
    };
    let runs = if is_scheduled {
        vec![inspector.execute(&samples[0], false, RUN_WITHIN).await?]
    } else {
        repeat(inspector, &samples, options).await?
    };
    Ok(row(statement, class, samples.len(), &runs))
}

/// Once through the samples to warm up, then again and again until there are enough runs.
async fn repeat(
    inspector: &mut Inspector,
    samples: &[Parameters],
    options: &Options,
) -> anyhow::Result<Vec<Execution>> {
    for sample in samples {
        inspector.execute(sample, false, RUN_WITHIN).await?;
    }
    let clock = SystemRuntime::new();
    let end = clock.now() + Duration::from_secs(options.seconds.into());
    let mut runs = Vec::new();
    loop {
        for sample in samples {
            runs.push(inspector.execute(sample, false, RUN_WITHIN).await?);
        }
        if runs.len() >= options.runs as usize || clock.now() >= end {
            return Ok(runs);
        }
    }
}

async fn writes(inspector: &mut Inspector, sample: &Parameters) -> anyhow::Result<bool> {
    let options = PlanOptions {
        mode: PlanMode::Custom,
        analyze: false,
        avoid_sequential_scans: false,
        without_index: None,
        timeout: RUN_WITHIN,
    };
    let json = inspector.explain(sample, options).await?;
    Ok(super::plan::Explained::parse(json)?.plan.writes())
}

fn row(
    statement: &'static Statement,
    class: Class,
    samples: usize,
    runs: &[Execution],
) -> Option<Row> {
    let figures = Figures::of(runs.iter().map(|run| run.elapsed))?;
    let target = Target::of(statement, class);
    Some(Row {
        statement: statement.name,
        class,
        samples,
        rows: runs.iter().map(|run| run.rows as f64).sum::<f64>() / runs.len() as f64,
        figures,
        target,
        meets_target: target.map(|target| target.is_met(figures)),
    })
}

/// The processor and the memory, as far as the system tells.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model = field(&cpus, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|text| text.trim_end_matches("kB").trim().parse::<i64>().ok())
        .map_or_else(String::new, |kib| {
            format!(", {} of memory", bytes(kib * 1024))
        });
    format!("{model}, {cores} cores{memory}")
}

impl Report {
    fn table(&self) -> Table {
        let mut table = Table::new(&[
            "statement",
            "class",
            ">p50 ms",
            ">p99 ms",
            ">mean ms",
            ">max ms",
            ">rows",
            ">runs",
            "target",
        ]);
        for row in &self.statements {
            table.row([
                row.statement.to_owned(),
                row.class.as_str().to_owned(),
                milliseconds(row.figures.p50_ms),
                milliseconds(row.figures.p99_ms),
                milliseconds(row.figures.mean_ms),
                milliseconds(row.figures.max_ms),
                format!("{:.1}", row.rows),
                row.figures.runs.to_string(),
                match row.meets_target {
                    None => "–",
                    Some(true) => "met",
                    Some(false) => "MISSED",
                }
                .to_owned(),
            ]);
        }
        table
    }

    fn missed(&self) -> usize {
        let missed = |row: &&Row| row.meets_target == Some(false);
        self.statements.iter().filter(missed).count()
    }

    pub(crate) fn to_text(&self) -> String {
        format!(
            "{}\n{} statements, {} missed their target (p50 < 2 ms, search.page < 10 ms; p99 < 20 ms)\n",
            self.table().to_text(),
            self.statements.len(),
            self.missed()
        )
    }

    /// For `docs/STATEMENTS.md`.
    pub(crate) fn to_markdown(&self) -> String {
        let mut text = String::from(
            "# The time of every statement\n\n\
             Written by `pitchey db bench --markdown docs/STATEMENTS.md`; do not edit.\n\n\
             Each statement is prepared once on one connection, run with representative parameters to warm \
             up, and then measured at the client, one run after the other.\n\
             What a write wrote was rolled back.\n\
             Targets: p50 < 2 ms (`search.page` < 10 ms), p99 < 20 ms; none for what runs by the clock.\n\n",
        );
        let _ = writeln!(text, "- Machine: {}.", self.machine);
        let _ = writeln!(
            text,
            "- Server: PostgreSQL {}, `shared_buffers` {}, database of {}.\n",
            self.server.version,
            self.server.shared_buffers,
            bytes(self.server.bytes)
        );
        text.push_str(&self.table().to_markdown());
        text.push_str("\n## Tables\n\n");
        let mut tables = Table::new(&["table", ">rows", ">size with indexes"]);
        for table in &self.tables {
            tables.row([table.name.clone(), count(table.rows), bytes(table.bytes)]);
        }
        text.push_str(&tables.to_markdown());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_below_both_bounds() {
        let statement = |name| pitchey_sql::statement(name).expect("it exists");
        let figures = |p50_ms, p99_ms| Figures {
            runs: 1,
            p50_ms,
            p99_ms,
            mean_ms: p50_ms,
            max_ms: p99_ms,
        };
        let met = |name, p50_ms, p99_ms| {
            Target::of(statement(name), Class::Read).map(|t| t.is_met(figures(p50_ms, p99_ms)))
        };
        assert_eq!(met("pitches.detail", 1.9, 19.0), Some(true));
        assert_eq!(met("pitches.detail", 2.0, 19.0), Some(false));
        assert_eq!(met("pitches.detail", 1.0, 20.0), Some(false));
        assert_eq!(met("search.page", 9.9, 19.0), Some(true));
        let scheduled = Target::of(statement("trending.refresh"), Class::Scheduled);
        assert_eq!(scheduled, None);
    }
}
