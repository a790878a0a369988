//! What a seed did.

use crate::figures::{duration, grouped, rate};
use std::fmt;
use std::time::Duration;

/// What was loaded into a table.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TableReport {
    /// The table.
    pub table: &'static str,
    /// Rows that were added.
    pub rows: u64,
    /// How long that took, without its indexes if they were off.
    pub seconds: f64,
}

/// A part of the run that is not the load of one table.
#[derive(Debug, Clone, serde::Serialize)]
pub struct PhaseReport {
    /// What was done.
    pub phase: &'static str,
    /// How long it took.
    pub seconds: f64,
}

/// What a seed did.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Report {
    /// What was loaded.
    pub tables: Vec<TableReport>,
    /// What else was done.
    pub phases: Vec<PhaseReport>,
    /// How long all of it took.
    pub seconds: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |seconds| duration(Duration::from_secs_f64(seconds));
        for table in &self.tables {
            let per_second = rate(table.rows, Duration::from_secs_f64(table.seconds));
            writeln!(
                f,
                "{:<22}{:>12} rows{:>9}{:>12} rows/s",
                table.table,
                grouped(table.rows),
                seconds(table.seconds),
                grouped(per_second)
            )?;
        }
        for phase in &self.phases {
            writeln!(f, "{:<39}{:>9}", phase.phase, seconds(phase.seconds))?;
        }
        let rows = self.tables.iter().map(|table| table.rows).sum();
        writeln!(
            f,
            "{} rows in {}, {} rows/s",
            grouped(rows),
            seconds(self.seconds),
            grouped(rate(rows, Duration::from_secs_f64(self.seconds)))
        )
    }
}
