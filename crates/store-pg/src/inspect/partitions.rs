//! The partitions of the event tables: what there is, making more ahead, dropping the old.

use super::{InspectError, Inspector, failed, literal};
use serde::Serialize;
use sqlx::FromRow;
use time::OffsetDateTime;

/// How much time a partition covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// A calendar month, UTC.
    Month,
    /// A day, UTC.
    Day,
}

impl Step {
    /// PostgreSQL's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Month => "month",
            Self::Day => "day",
        }
    }
}

/// A table that is partitioned by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PartitionedTable {
    /// Its name.
    pub name: &'static str,
    /// How much time a partition covers.
    pub step: Step,
}

impl PartitionedTable {
    /// What users did: a partition a month.
    pub const ANALYTICS: Self = Self {
        name: "analytics_events",
        step: Step::Month,
    };
    /// What browsers measured: a partition a day.
    pub const RUM: Self = Self {
        name: "rum_events",
        step: Step::Day,
    };
    /// All there are.
    pub const ALL: [Self; 2] = [Self::ANALYTICS, Self::RUM];
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Serialize, FromRow)]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// Its first moment; none if it has no such bound.
    #[serde(with = "time::serde::rfc3339::option")]
    pub from_time: Option<OffsetDateTime>,
    /// The moment after its last.
    #[serde(with = "time::serde::rfc3339::option")]
    pub to_time: Option<OffsetDateTime>,
    /// About how many rows it has, by the planner's statistics.
    pub rows: f64,
    /// Its size with its indexes.
    pub bytes: i64,
    /// Whether it ends before what is to be kept.
    pub is_expired: bool,
}

// Bounds without a time (MINVALUE, DEFAULT) do not match, stay null, and are never taken as expired.
const PARTITIONS: &str = "
SELECT name, from_time, to_time, rows, bytes,
       coalesce(to_time <= (date_trunc($2, now(), 'UTC') AT TIME ZONE 'UTC' - ($3 || ' ' || $2)::interval)
                           AT TIME ZONE 'UTC', false) AS is_expired
FROM (
    SELECT c.relname::text AS name,
           (regexp_match(b.bound, 'FROM \\(''(\\d[^'']+)''\\)'))[1]::timestamptz AS from_time,
           (regexp_match(b.bound, 'TO \\(''(\\d[^'']+)''\\)'))[1]::timestamptz AS to_time,
           greatest(c.reltuples, 0)::float8 AS rows,
           pg_total_relation_size(c.oid) AS bytes
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS bound) b
    WHERE i.inhparent = $1::regclass
) p
ORDER BY from_time NULLS FIRST, name";

impl Inspector {
    /// The partitions of a table in order, and which of them end before the current step and the `retain`
    /// whole ones before it; none of them does if all are retained.
    pub async fn partitions(
        &mut self,
        table: PartitionedTable,
        retain: Option<u32>,
    ) -> Result<Vec<Partition>, InspectError> {
        sqlx::query_as(PARTITIONS)
            .bind(table.name)
            .bind(table.step.as_str())
            .bind(retain.map(|steps| steps.to_string()))
            .fetch_all(&mut self.connection)
            .await
            .map_err(|error| failed("listing partitions", error))
    }

    /// Makes the partitions that are missing from now to `ahead` steps on, and gives how many that were.
    pub async fn ensure_partitions(
        &mut self,
        table: PartitionedTable,
        ahead: u32,
    ) -> Result<u32, InspectError> {
        // One more: the bound is exclusive, and the step that is now counts as none.
        let made: i32 = sqlx::query_scalar(
            "SELECT ensure_partitions($1, $2, now(), now() + ($3 || ' ' || $2)::interval)",
        )
        .bind(table.name)
        .bind(table.step.as_str())
        .bind(ahead.to_string())
        .fetch_one(&mut self.connection)
        .await
        .map_err(|error| failed("making partitions", error))?;
        Ok(made.unsigned_abs())
    }

    /// Detaches a partition and drops it with its rows.
    ///
    /// Both or neither. Writers of the table wait while the lock is had, which is not waited for longer
    /// than a moment, since whoever writes would wait behind it.
    pub async fn drop_partition(
        &mut self,
        table: PartitionedTable,
        partition: &str,
    ) -> Result<(), InspectError> {
        let doing = "dropping a partition";
        let identifiers = self
            .text_rows(
                doing,
                format!(
                    "SELECT quote_ident({}), quote_ident({})",
                    literal(table.name),
                    literal(partition)
                ),
            )
            .await?;
        let Some([Some(table), Some(partition)]) = identifiers.first().map(Vec::as_slice) else {
            return Ok(());
        };
        let dropped = self
            .run(
                doing,
                format!(
                    "BEGIN; SET LOCAL lock_timeout = '2s';
                     ALTER TABLE {table} DETACH PARTITION {partition};
                     DROP TABLE {partition}; COMMIT"
                ),
            )
            .await;
        if dropped.is_err() {
            self.run(doing, "ROLLBACK".to_owned()).await?;
        }
        dropped
    }
}
