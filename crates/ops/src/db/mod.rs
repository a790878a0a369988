//! `pitchey db`: the database's schema, indexes, statements and scheduled work.

mod bench;
mod compare;
mod doc;
mod partitions;
mod plan;
mod refresh;
mod rules;
mod slow;
mod status;
mod times;
mod verify;

use crate::Database;
use crate::output::Output;
use crate::progress::Progress;
use anyhow::Context as _;
use clap::Subcommand;
use pitchey_runtime::SystemRuntime;
use pitchey_sql::Statement;
use pitchey_store_pg::PoolConfig;
use pitchey_store_pg::inspect::Inspector;
use secrecy::ExposeSecret as _;
use std::io::Write;
use std::process::ExitCode;

/// Look after the database.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// What can be done to the database.
#[derive(Debug, Subcommand)]
enum Command {
    /// Apply the migrations that are missing. Several may run at once; each waits for its turn.
    Migrate,
    /// Show the schema's state, the server and the tables. Fails if the schema is not the one of this build.
    Status,
    /// Check, compare and describe the indexes.
    #[command(subcommand)]
    Indexes(Indexes),
    /// Measure every statement with representative parameters. What they write is rolled back.
    Bench(bench::Options),
    /// Show which statements take the server's time, from `pg_stat_statements`.
    Slow(slow::Options),
    /// List, make and drop the partitions of the event tables.
    #[command(subcommand)]
    Partitions(partitions::Command),
    /// Run the scheduled statements now: scores, the lists' copies of them, the figures for dashboards.
    RefreshStats(refresh::Options),
}

/// What can be done about indexes.
#[derive(Debug, Subcommand)]
enum Indexes {
    /// Plan every statement as production would. Fails on what an index should have spared, on an index that
    /// nothing needs, and on one that is missing.
    ///
    /// Each statement is planned for each of its samples, both with a plan made for those parameters and
    /// with the one plan for all that the server may settle on. Reads are run, for real row counts; writes
    /// are planned only. Nothing is changed.
    Verify(verify::Options),
    /// Run every statement with and without each of its indexes, side by side. For a copy of the database;
    /// needs a superuser.
    Compare(compare::Options),
    /// Print docs/INDEXES.md: every index, its definition and the statements that need it.
    Doc(doc::Options),
}

/// Which statements.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Selection {
    /// Only this statement, or this aggregate; may be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

impl Selection {
    fn statements(&self) -> anyhow::Result<Vec<&'static Statement>> {
        let selects = |only: &str, name: &str| {
            name.strip_prefix(only)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let all = pitchey_sql::statements();
        let known = |only: &&String| all.iter().any(|statement| selects(only, statement.name));
        if let Some(unknown) = self.only.iter().find(|only| !known(only)) {
            anyhow::bail!("there is no statement and no aggregate named {unknown}");
        }
        let selected =
            |name| self.only.is_empty() || self.only.iter().any(|only| selects(only, name));
        Ok(all
            .iter()
            .filter(|statement| selected(statement.name))
            .collect())
    }
}

pub(crate) async fn run(
    arguments: Arguments,
    database: &Database,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<ExitCode> {
    let mut output = Output::new(arguments.json, out);
    if matches!(arguments.command, Command::Migrate) {
        pitchey_store_pg::migrate::run(database.url()?.expose_secret()).await?;
        output.show(&serde_json::json!({ "current": true }), || {
            "the database is up to date\n".to_owned()
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut inspector = connect(database).await?;
    let code = inspect(arguments.command, database, &mut inspector, &mut output).await;
    inspector.close().await;
    code
}

async fn inspect(
    command: Command,
    database: &Database,
    inspector: &mut Inspector,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitCode> {
    let passed = match command {
        Command::Migrate => true,
        Command::Status => {
            let store = database.connect()?;
            let report = status::run(inspector, &store).await;
            store.close().await;
            let report = report?;
            output.show(&report, || report.to_text())?;
            report.is_current()
        }
        Command::Indexes(Indexes::Verify(options)) => {
            let report = verify::run(inspector, &options).await?;
            output.show(&report, || report.to_text())?;
            report.passed()
        }
        Command::Indexes(Indexes::Compare(options)) => {
            let report = compare::run(inspector, &options).await?;
            output.show(&report, || report.to_text())?;
            true
        }
        Command::Indexes(Indexes::Doc(options)) => {
            let catalog = inspector.catalog().await?;
            document(&doc::markdown(&catalog), &options, output)?
        }
        Command::Bench(options) => {
            let report = bench::run(inspector, &options).await?;
            if let Some(file) = &options.markdown {
                std::fs::write(file, report.to_markdown())
                    .with_context(|| format!("cannot write {}", file.display()))?;
            }
            output.show(&report, || report.to_text())?;
            true
        }
        Command::Slow(options) => {
            let report = slow::run(inspector, &options).await?;
            output.show(&report, || report.to_text())?;
            true
        }
        Command::Partitions(command) => {
            let report = partitions::run(inspector, &command).await?;
            output.show(&report, || report.to_text())?;
            true
        }
        Command::RefreshStats(options) => {
            let report = refresh::run(inspector, &options).await?;
            output.show(&report, || report.to_text())?;
            true
        }
    };
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Prints the document, or says whether a file is the same.
fn document(text: &str, options: &doc::Options, output: &mut Output<'_>) -> anyhow::Result<bool> {
    let Some(file) = &options.check else {
        output.show(&serde_json::json!({ "markdown": text }), || text.to_owned())?;
        return Ok(true);
    };
    let found =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let difference = doc::first_difference(text, &found);
    output.show(
        &serde_json::json!({ "current": difference.is_none() }),
        || match &difference {
            None => format!("{} is current\n", file.display()),
            Some((line, expected)) => format!(
                "{} is not current: line {line} should be\n{expected}\n",
                file.display()
            ),
        },
    )?;
    Ok(difference.is_none())
}

/// Connects with the settings of the service, so that its plans are seen.
async fn connect(database: &Database) -> anyhow::Result<Inspector> {
    let config = PoolConfig {
        // Each command sets a limit of its own to what it runs.
        statement_timeout_ms: 600_000,
        ..PoolConfig::default()
    };
    Ok(Inspector::connect(database.url()?, &config, SystemRuntime::new()).await?)
}

fn progress(statements: usize) -> Progress {
    let length = u64::try_from(statements).ok();
    Progress::new("statements", length, 0, SystemRuntime::new())
}

#[cfg(test)]
mod tests;
