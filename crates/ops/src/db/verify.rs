//! `pitchey db indexes verify`: plans every statement as production would, and says what is wrong.

use super::plan::{Explained, Limits, Node, Waste};
use super::rules;
use crate::table::{Table, count};
use anyhow::Context as _;
use pitchey_sql::Statement;
use pitchey_store_pg::inspect::{
    Catalog, InspectError, Inspector, Parameters, PlanMode, PlanOptions,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

/// Both ways in which the server may plan a prepared statement.
const MODES: [PlanMode; 2] = [PlanMode::Custom, PlanMode::Generic];

/// How to verify.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) selection: super::Selection,
    /// Sets of parameters to plan each statement with, at most.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    samples: u16,
    /// Tables of at most this many rows may be read from end to end.
    #[arg(long, default_value_t = 10_000, value_name = "ROWS")]
    scan_rows: u32,
    /// At most this many rows may be sorted.
    #[arg(long, default_value_t = 2_000, value_name = "ROWS")]
    sort_rows: u32,
    /// At most this many rows may be read and thrown away by one scan.
    #[arg(long, default_value_t = 20_000, value_name = "ROWS")]
    discarded_rows: u32,
    /// Give up on a plan after so many seconds; a finding.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=600))]
    timeout: u16,
    /// Fail also on an index whose use cannot be proved since its table is small.
    #[arg(long)]
    strict: bool,
}

impl Options {
    fn limits(&self) -> Limits {
        Limits {
            scan: f64::from(self.scan_rows),
            sort: f64::from(self.sort_rows),
            discard: f64::from(self.discarded_rows),
        }
    }
}

/// Something that is wrong, or cannot be proved to be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What sort of fault.
    pub(crate) kind: &'static str,
    /// The statement, index or constraint that has it.
    pub(crate) subject: String,
    /// In words.
    pub(crate) detail: String,
}

impl Finding {
    pub(crate) fn new(kind: &'static str, subject: &str, detail: String) -> Self {
        Self {
            kind,
            subject: subject.to_owned(),
            detail,
        }
    }
}

/// What was looked at and what was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Statements planned.
    statements: usize,
    /// Statements that have no plan, as `REFRESH`.
    unplanned: Vec<&'static str>,
    /// Sets of parameters.
    samples: usize,
    /// Plans looked at.
    plans: usize,
    /// Statements whose generic plan costs too much for the server to take it.
    generic_not_taken: usize,
    /// Pairs of a statement and an index that it names, where its plans use the index.
    proved: usize,
    /// Pairs where they do once sequential scans are avoided: the table is small.
    proved_without_scans: usize,
    /// Pairs where nothing can be said.
    unproved: Vec<Finding>,
    /// What is wrong.
    findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong.
    pub(crate) fn passed(&self) -> bool {
        self.findings.is_empty()
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        let mut table = Table::new(&["finding", "of", "detail"]);
        for found in &self.findings {
            table.row([
                found.kind.to_owned(),
                found.subject.clone(),
                found.detail.clone(),
            ]);
        }
        if !table.is_empty() {
            text.push_str(&table.to_text());
            text.push('\n');
        }
        for found in &self.unproved {
            let _ = writeln!(text, "not provable: {}: {}", found.subject, found.detail);
        }
        for name in &self.unplanned {
            let _ = writeln!(
                text,
                "not planned: {name}: the server explains no such statement"
            );
        }
        let _ = writeln!(
            text,
            "{} statements, {} sets of parameters, {} plans; {} generic plans cost too much to be taken",
            self.statements, self.samples, self.plans, self.generic_not_taken
        );
        let _ = writeln!(
            text,
            "uses of indexes: {} proved, {} proved by avoiding sequential scans of small tables, {} not provable",
            self.proved,
            self.proved_without_scans,
            self.unproved.len()
        );
        let _ = match self.findings.len() {
            0 => writeln!(text, "nothing found"),
            1 => writeln!(text, "1 finding"),
            n => writeln!(text, "{n} findings"),
        };
        text
    }
}

/// Plans all statements and judges the plans and the catalog.
pub(crate) async fn run(inspector: &mut Inspector, options: &Options) -> anyhow::Result<Report> {
    let catalog = inspector.catalog().await?;
    let mut report = Report::default();
    let statements = options.selection.statements()?;
    let mut progress = super::progress(statements.len());
    for (at, statement) in (0..).zip(statements) {
        progress.at(at, at);
        if is_planned(statement) {
            let mut look = Look {
                inspector,
                catalog: &catalog,
                statement,
                options,
                report: &mut report,
            };
            look.run().await?;
        } else {
            report.unplanned.push(statement.name);
        }
    }
    drop(progress);
    let all: Vec<&Statement> = pitchey_sql::statements().iter().collect();
    report.findings.extend(rules::check(&catalog, &all));
    if options.strict {
        report.findings.append(&mut report.unproved);
    }
    Ok(report)
}

/// Utility statements can be neither prepared nor explained.
pub(crate) fn is_planned(statement: &Statement) -> bool {
    let first = statement
        .text
        .lines()
        .find(|line| !line.trim_start().starts_with("--") && !line.trim().is_empty())
        .and_then(|line| line.split_whitespace().next());
    matches!(
        first,
        Some("SELECT" | "WITH" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "VALUES")
    )
}

/// One statement being looked at.
struct Look<'a> {
    inspector: &'a mut Inspector,
    catalog: &'a Catalog,
    statement: &'static Statement,
    options: &'a Options,
    report: &'a mut Report,
}

/// A kind of waste, and how it showed.
struct Wasted {
    waste: Waste,
    modes: &'static str,
    samples: usize,
}

impl Look<'_> {
    async fn run(&mut self) -> anyhow::Result<()> {
        let types = self.inspector.prepare(self.statement.text).await;
        let types = types.context(self.statement.name)?;
        let samples = self.inspector.samples(self.statement.sample).await;
        let mut samples = samples.context(self.statement.name)?;
        let sampled = !samples.is_empty();
        if !sampled {
            samples.push(stand_ins(&types));
        }
        samples.truncate(usize::from(self.options.samples));
        if let Some(sample) = samples.iter().find(|sample| sample.len() != types.len()) {
            self.report.findings.push(Finding::new(
                "bad-sample",
                self.statement.name,
                format!(
                    "its sample gives {} values, it has {} parameters",
                    sample.len(),
                    types.len()
                ),
            ));
            return Ok(());
        }
        self.report.statements += 1;
        self.report.samples += samples.len();
        let writes = self
            .explain(&samples[0], PlanMode::Custom, false, false)
            .await?
            .is_some_and(|explained| explained.plan.writes());
        let used = self.judge_plans(&samples, !writes).await?;
        self.judge_indexes(&samples, sampled, &used).await
    }

    /// Plans with every sample, and judges the plans; gives the indexes used.
    async fn judge_plans(
        &mut self,
        samples: &[Parameters],
        analyze: bool,
    ) -> anyhow::Result<BTreeSet<String>> {
        let mut used = BTreeSet::new();
        let Some(custom) = self.plans(samples, PlanMode::Custom, analyze).await? else {
            return Ok(used);
        };
        let generic = self.explain(&samples[0], PlanMode::Generic, false, false);
        let Some(generic) = generic.await? else {
            return Ok(used);
        };
        let mut wasted = self.wasted(&custom, PlanMode::Custom);
        used.extend(custom.iter().flat_map(|plan| plan.indexes(self.catalog)));
        // After five runs the server takes the generic plan if it costs less than the plans that it has made
        // until then did on average, the making included. One that it cannot take harms nobody.
        let highest = custom.iter().map(Node::cost_with_planning);
        if generic.plan.cost() < highest.fold(0.0, f64::max) {
            if let Some(plans) = self.plans(samples, PlanMode::Generic, analyze).await? {
                for generic in self.wasted(&plans, PlanMode::Generic) {
                    let same = wasted
                        .iter_mut()
                        .find(|seen| seen.waste.key() == generic.waste.key());
                    match same {
                        Some(seen) => seen.modes = "custom and generic plan",
                        None => wasted.push(generic),
                    }
                }
                used.extend(plans.iter().flat_map(|plan| plan.indexes(self.catalog)));
            }
        } else {
            self.report.generic_not_taken += 1;
        }
        for seen in wasted {
            let kind = match seen.waste {
                Waste::SequentialScan { .. } => "sequential-scan",
                Waste::Sort { .. } => "sort",
                Waste::Discards { .. } => "discarded-rows",
            };
            self.report.findings.push(Finding::new(
                kind,
                self.statement.name,
                format!(
                    "{} ({}, {} of {} samples)",
                    seen.waste,
                    seen.modes,
                    seen.samples,
                    samples.len()
                ),
            ));
        }
        Ok(used)
    }

    /// The plans for all samples; none, and a finding, if one did not end in time.
    async fn plans(
        &mut self,
        samples: &[Parameters],
        mode: PlanMode,
        analyze: bool,
    ) -> anyhow::Result<Option<Vec<Node>>> {
        let mut plans = Vec::with_capacity(samples.len());
        for sample in samples {
            let Some(explained) = self.explain(sample, mode, analyze, false).await? else {
                self.report.findings.push(Finding::new(
                    "timeout",
                    self.statement.name,
                    format!(
                        "the {} plan did not end within {} s",
                        mode_name(mode),
                        self.options.timeout
                    ),
                ));
                return Ok(None);
            };
            self.report.plans += 1;
            plans.push(explained.plan);
        }
        Ok(Some(plans))
    }

    /// The waste in the plans, each kind once, at its worst.
    fn wasted(&self, plans: &[Node], mode: PlanMode) -> Vec<Wasted> {
        let mut wasted: BTreeMap<(&'static str, String), Wasted> = BTreeMap::new();
        for plan in plans {
            for waste in plan.waste(self.catalog, self.options.limits()) {
                let (kind, what) = waste.key();
                let seen = wasted
                    .entry((kind, what.to_owned()))
                    .or_insert_with(|| Wasted {
                        waste: waste.clone(),
                        modes: match mode {
                            PlanMode::Custom => "custom plan",
                            PlanMode::Generic => "generic plan",
                        },
                        samples: 0,
                    });
                seen.samples += 1;
                if waste > seen.waste {
                    seen.waste = waste;
                }
            }
        }
        wasted.into_values().collect()
    }

    /// Every index that the statement names must have been used, unless its table is too small to say.
    async fn judge_indexes(
        &mut self,
        samples: &[Parameters],
        sampled: bool,
        used: &BTreeSet<String>,
    ) -> anyhow::Result<()> {
        let names: Vec<&str> = self.statement.index_names().collect();
        self.report.proved += names.iter().filter(|name| used.contains(**name)).count();
        let unused = names.into_iter().filter(|name| !used.contains(*name));
        let unused: Vec<_> = unused.filter_map(|name| self.catalog.index(name)).collect();
        if unused.is_empty() {
            return Ok(());
        }
        // A few samples tell: their plans hardly differ when there is one way left.
        let mut used = BTreeSet::new();
        for sample in samples.iter().take(3) {
            for mode in MODES {
                if let Some(explained) = self.explain(sample, mode, false, true).await? {
                    used.extend(explained.plan.indexes(self.catalog));
                }
            }
        }
        for index in unused {
            let rows = self.catalog.rows(&index.table);
            if sampled && rows > f64::from(self.options.scan_rows) {
                self.report.findings.push(Finding::new(
                    "index-not-used",
                    self.statement.name,
                    format!(
                        "no plan uses {}, though {} has {} rows",
                        index.name,
                        index.table,
                        count(rows)
                    ),
                ));
            } else if used.contains(&index.name) {
                self.report.proved_without_scans += 1;
            } else {
                self.report.unproved.push(Finding::new(
                    "not-provable",
                    self.statement.name,
                    format!(
                        "{} is not used: {} has {} rows{}",
                        index.name,
                        index.table,
                        count(rows),
                        if sampled {
                            ""
                        } else {
                            " and gives no parameters"
                        }
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The plan, or none if it did not end in time.
    async fn explain(
        &mut self,
        parameters: &Parameters,
        mode: PlanMode,
        analyze: bool,
        avoid_sequential_scans: bool,
    ) -> anyhow::Result<Option<Explained>> {
        let options = PlanOptions {
            mode,
            analyze,
            avoid_sequential_scans,
            without_index: None,
            timeout: Duration::from_secs(self.options.timeout.into()),
        };
        match self.inspector.explain(parameters, options).await {
            Ok(json) => Ok(Some(Explained::parse(json)?)),
            Err(InspectError::Timeout { .. }) => Ok(None),
            Err(error) => Err(anyhow::Error::from(error).context(self.statement.name)),
        }
    }
}

const fn mode_name(mode: PlanMode) -> &'static str {
    match mode {
        PlanMode::Custom => "custom",
        PlanMode::Generic => "generic",
    }
}

/// Parameters that hit nothing, for a statement whose sample has no rows. Not nulls: a plan for those knows
/// that there is nothing to find, and reads nothing.
pub(crate) fn stand_ins(types: &[String]) -> Parameters {
    types
        .iter()
        .map(|name| {
            let text = match name.as_str() {
                "uuid" => "00000000-0000-7000-8000-000000000000",
                "timestamp with time zone" | "timestamp without time zone" | "date" => "2000-01-01",
                "smallint" | "integer" | "bigint" | "real" | "double precision" | "numeric" => "1",
                "boolean" => "true",
                "bytea" => "\\x00",
                "inet" => "127.0.0.1",
                "interval" => "1 hour",
                "json" | "jsonb" => "{}",
                name if name.ends_with("[]") => "{}",
                _ => "none",
            };
            Some(text.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests;
