//! Preparing a statement, and asking for its plan or its time with given parameters.
//!
//! A driver prepares a statement once and runs it with ever new parameters; the server plans it anew each
//! time at first, and may later settle on one plan for all. `PREPARE` and `EXECUTE` take the same way
//! through the server, and let the parameters be text.

use super::{InspectError, Inspector, failed, literal};
use pitchey_runtime::Clock as _;
use serde_json::Value;
use sqlx::AssertSqlSafe;
use std::time::Duration;

/// The parameters of one call, as text; `None` is null.
pub type Parameters = Vec<Option<String>>;

/// Parameters are looked for in large tables, by sampling: this is ample.
const SAMPLE_WITHIN: Duration = Duration::from_mins(1);

const NAME: &str = "pitchey_inspected";

/// Which of the two plans that the server may use for a prepared statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanMode {
    /// Made for the parameters at hand.
    Custom,
    /// Made once for all parameters.
    Generic,
}

impl PlanMode {
    const fn setting(self) -> &'static str {
        match self {
            Self::Custom => "force_custom_plan",
            Self::Generic => "force_generic_plan",
        }
    }
}

/// How to ask for a plan.
#[derive(Debug, Clone, Copy)]
pub struct PlanOptions<'a> {
    /// Which plan.
    pub mode: PlanMode,
    /// Whether to run the statement, for real row counts and its time. What it writes is rolled back.
    pub analyze: bool,
    /// Whether the planner shall avoid reading whole tables where it can.
    pub avoid_sequential_scans: bool,
    /// An index that the planner shall not see. Needs a superuser; other sessions do not notice.
    pub without_index: Option<&'a str>,
    /// When to give up.
    pub timeout: Duration,
}

/// A run of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    /// How many rows came back.
    pub rows: usize,
    /// From sending to the last row.
    pub elapsed: Duration,
}

impl Inspector {
    /// Prepares a statement in place of the one before, and gives the names of its parameters' types.
    pub async fn prepare(&mut self, text: &str) -> Result<Vec<String>, InspectError> {
        let doing = "preparing a statement";
        if std::mem::take(&mut self.has_prepared) {
            self.run(doing, format!("DEALLOCATE {NAME}")).await?;
        }
        self.run(doing, format!("PREPARE {NAME} AS\n{text}"))
            .await?;
        self.has_prepared = true;
        let types = self
            .text_rows(
                doing,
                format!(
                    "SELECT unnest(parameter_types)::text FROM pg_prepared_statements WHERE name = '{NAME}'"
                ),
            )
            .await?;
        Ok(types.into_iter().flatten().flatten().collect())
    }

    /// Runs a query whose rows are parameters.
    ///
    /// `TABLESAMPLE` may miss the few pages of a small table: a query that gives no rows is run again over
    /// the whole tables.
    pub async fn samples(&mut self, query: &str) -> Result<Vec<Parameters>, InspectError> {
        let doing = "looking for representative parameters";
        self.begin(doing, SAMPLE_WITHIN, &["SET TRANSACTION READ ONLY"])
            .await?;
        let mut rows = self.text_rows(doing, query.to_owned()).await;
        if rows.as_ref().is_ok_and(Vec::is_empty) {
            rows = self.text_rows(doing, without_sampling(query)).await;
        }
        self.roll_back(doing).await?;
        rows
    }

    /// The plan of the prepared statement, as `EXPLAIN (FORMAT JSON)` gives it.
    pub async fn explain(
        &mut self,
        parameters: &Parameters,
        options: PlanOptions<'_>,
    ) -> Result<Value, InspectError> {
        let doing = "planning a statement";
        let mode = format!("SET LOCAL plan_cache_mode = {}", options.mode.setting());
        let mut settings = vec![mode.as_str()];
        if options.avoid_sequential_scans {
            settings.push("SET LOCAL enable_seqscan = off");
        }
        self.begin(doing, options.timeout, &settings).await?;
        let plan = self.explain_inside(doing, parameters, options).await;
        self.roll_back(doing).await?;
        plan
    }

    async fn explain_inside(
        &mut self,
        doing: &'static str,
        parameters: &Parameters,
        options: PlanOptions<'_>,
    ) -> Result<Value, InspectError> {
        if let Some(index) = options.without_index {
            // Marked so in our uncommitted copy of the catalog alone: no lock that anybody waits for.
            let index = literal(index);
            self.run(
                "hiding an index",
                format!(
                    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = {index}::regclass
                     OR indexrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = {index}::regclass)"
                ),
            )
            .await?;
        }
        let analyze = if options.analyze {
            // The clock is read for each row of each node otherwise, which can cost more than the work.
            "ANALYZE, TIMING OFF, "
        } else {
            ""
        };
        let rows = self
            .text_rows(
                doing,
                format!(
                    "EXPLAIN ({analyze}FORMAT JSON) EXECUTE {NAME}{}",
                    arguments(parameters)
                ),
            )
            .await?;
        let text = rows
            .into_iter()
            .flatten()
            .flatten()
            .collect::<Vec<_>>()
            .join("\n");
        serde_json::from_str(&text).map_err(|error| InspectError::Failed {
            doing,
            source: error.into(),
        })
    }

    /// Runs the prepared statement; what it writes stays only if `keep` says so.
    pub async fn execute(
        &mut self,
        parameters: &Parameters,
        keep: bool,
        timeout: Duration,
    ) -> Result<Execution, InspectError> {
        let text = format!("EXECUTE {NAME}{}", arguments(parameters));
        self.timed("running a statement", text, keep, timeout).await
    }

    /// Runs a statement without parameters that cannot be prepared, as those of `REFRESH`.
    pub async fn execute_utility(
        &mut self,
        text: &str,
        keep: bool,
        timeout: Duration,
    ) -> Result<Execution, InspectError> {
        self.timed("running a statement", text.to_owned(), keep, timeout)
            .await
    }

    /// Brings the planner's statistics of some tables up to date.
    pub async fn analyze(
        &mut self,
        tables: &[&str],
        timeout: Duration,
    ) -> Result<Execution, InspectError> {
        let text = format!("ANALYZE {}", tables.join(", "));
        self.timed("analyzing tables", text, true, timeout).await
    }

    async fn timed(
        &mut self,
        doing: &'static str,
        text: String,
        keep: bool,
        timeout: Duration,
    ) -> Result<Execution, InspectError> {
        self.begin(doing, timeout, &[]).await?;
        let start = self.clock.now();
        let result = sqlx::raw_sql(AssertSqlSafe(text))
            .fetch_all(&mut self.connection)
            .await;
        let elapsed = self.clock.now().since(start);
        match result {
            Ok(rows) => {
                let end = if keep { "COMMIT" } else { "ROLLBACK" };
                self.run(doing, end.to_owned()).await?;
                Ok(Execution {
                    rows: rows.len(),
                    elapsed,
                })
            }
            Err(error) => {
                self.roll_back(doing).await?;
                Err(failed(doing, error))
            }
        }
    }

    async fn begin(
        &mut self,
        doing: &'static str,
        timeout: Duration,
        settings: &[&str],
    ) -> Result<(), InspectError> {
        let mut sql = format!(
            "BEGIN; SET LOCAL statement_timeout = {}",
            timeout.as_millis()
        );
        for setting in settings {
            sql.push_str("; ");
            sql.push_str(setting);
        }
        let begun = self.run(doing, sql).await;
        if begun.is_err() {
            self.roll_back(doing).await?;
        }
        begun
    }

    async fn roll_back(&mut self, doing: &'static str) -> Result<(), InspectError> {
        self.run(doing, "ROLLBACK".to_owned()).await
    }
}

/// The same query over whole tables.
fn without_sampling(query: &str) -> String {
    let mut whole = String::with_capacity(query.len());
    let mut rest = query;
    while let Some(at) = rest.find("TABLESAMPLE") {
        whole.push_str(&rest[..at]);
        rest = match rest[at..].find(')') {
            Some(end) => &rest[at + end + 1..],
            None => "",
        };
    }
    whole.push_str(rest);
    whole
}

fn arguments(parameters: &Parameters) -> String {
    if parameters.is_empty() {
        return String::new();
    }
    let values: Vec<String> = parameters
        .iter()
        .map(|value| value.as_deref().map_or_else(|| "NULL".to_owned(), literal))
        .collect();
    format!(" ({})", values.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_quoted_literals() {
        let parameters = vec![Some("it's \\ here".to_owned()), None, Some(String::new())];
        assert_eq!(arguments(&parameters), r" ('it''s \ here', NULL, '')");
        assert_eq!(arguments(&Vec::new()), "");
    }

    #[test]
    fn a_small_table_is_read_without_sampling() {
        assert_eq!(
            without_sampling(
                "SELECT a FROM b TABLESAMPLE SYSTEM (10) WHERE c LIMIT 1; d TABLESAMPLE BERNOULLI (1)"
            ),
            "SELECT a FROM b  WHERE c LIMIT 1; d "
        );
        assert_eq!(without_sampling("SELECT 1"), "SELECT 1");
    }
}
