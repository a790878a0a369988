//! Streams of rows into a table, and what a load needs before and after.

use super::connection::{BulkConnection, BulkError};
use super::copy::{CopyRows, HEADER, TRAILER};
use super::rows::CopyRow;
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgCopyIn};

/// The tables that generated data fill, those that others refer to first. The last two are filled from `pitches`.
pub(super) const TABLES: &[&str] = &[
    "users",
    "pitches",
    "pitch_views",
    "saved_pitches",
    "follows",
    "ndas",
    "investment_interests",
    "notifications",
    "sessions",
    "pitch_listings",
    "search_words",
];
/// Partitioned ones are filled too, but keep their indexes.
pub(super) const PARTITIONED: &[&str] = &["analytics_events", "rum_events"];

/// A stream into a table. Without [`CopyIn::finish`] nothing of it stays.
pub struct CopyIn<'c> {
    stream: PgCopyIn<&'c mut PgConnection>,
}

impl std::fmt::Debug for CopyIn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopyIn").finish_non_exhaustive()
    }
}

impl CopyIn<'_> {
    /// Sends rows of the table for which the stream was opened.
    pub async fn send(&mut self, rows: &CopyRows) -> Result<(), BulkError> {
        self.raw(&rows.bytes).await
    }

    async fn raw(&mut self, bytes: &[u8]) -> Result<(), BulkError> {
        // In pieces, so that no second copy of everything is held until the server has read it.
        for piece in bytes.chunks(1024 * 1024) {
            self.stream
                .send(piece)
                .await
                .map_err(BulkError::at("send rows"))?;
        }
        Ok(())
    }

    /// Ends the stream. How many rows there were.
    pub async fn finish(mut self) -> Result<u64, BulkError> {
        self.raw(TRAILER).await?;
        self.stream
            .finish()
            .await
            .map_err(BulkError::at("copy rows into a table"))
    }
}

impl BulkConnection {
    /// Opens a stream of rows of one kind.
    pub async fn copy_in<R: CopyRow>(&mut self) -> Result<CopyIn<'_>, BulkError> {
        self.copy_in_table(R::TABLE, R::COLUMNS).await
    }

    /// Opens a stream of rows whose kind is known by its table and columns.
    pub async fn copy_in_table(
        &mut self,
        table: &'static str,
        columns: &'static [&'static str],
    ) -> Result<CopyIn<'_>, BulkError> {
        let statement = format!("COPY {table} ({}) FROM STDIN BINARY", columns.join(", "));
        let stream = self
            .session
            .copy_in_raw(&statement)
            .await
            .map_err(BulkError::at("begin to copy into a table"))?;
        let mut copy = CopyIn { stream };
        copy.raw(HEADER).await?;
        Ok(copy)
    }

    /// Settings for a load: memory for building indexes, no helpers for that, since there are as many sessions as
    /// processors, and no wait for the disk at each commit, since the whole load counts or nothing.
    pub async fn prepare_for_load(&mut self) -> Result<(), BulkError> {
        self.run(
            "prepare the session",
            "SET synchronous_commit = off; SET maintenance_work_mem = '256MB'; SET work_mem = '128MB';
             SET max_parallel_maintenance_workers = 0",
        )
        .await
    }

    /// The first table among those that generated data fill which has rows.
    pub async fn first_filled_table(&mut self) -> Result<Option<&'static str>, BulkError> {
        for table in TABLES.iter().chain(PARTITIONED) {
            let query = format!("SELECT EXISTS (SELECT FROM {table})");
            let filled: bool = sqlx::query_scalar(AssertSqlSafe(query))
                .fetch_one(&mut self.session)
                .await
                .map_err(BulkError::at("look whether the database is empty"))?;
            if filled {
                return Ok(Some(table));
            }
        }
        Ok(None)
    }

    /// Makes the partitions for events of the days before a moment (microseconds since 1970).
    pub async fn ensure_event_partitions(
        &mut self,
        until_us: i64,
        analytics_days: i64,
        rum_days: i64,
    ) -> Result<(), BulkError> {
        for (table, step, days) in [
            ("analytics_events", "month", analytics_days),
            ("rum_events", "day", rum_days),
        ] {
            sqlx::query(
                "SELECT ensure_partitions($1, $2, to_timestamp($3 / 1e6) - make_interval(days => $4),
                                          to_timestamp($3 / 1e6) + interval '1 day')",
            )
            .bind(table)
            .bind(step)
            .bind(until_us)
            .bind(i32::try_from(days).unwrap_or(i32::MAX))
            .execute(&mut self.session)
            .await
            .map_err(BulkError::at("make partitions"))?;
        }
        Ok(())
    }

    /// Begins a transaction.
    pub async fn begin(&mut self) -> Result<(), BulkError> {
        self.run("begin a transaction", "BEGIN").await
    }

    /// Commits it.
    pub async fn commit(&mut self) -> Result<(), BulkError> {
        self.run("commit", "COMMIT").await
    }

    /// Tells the caches that lists and searches have changed.
    pub async fn invalidate_lists(&mut self) -> Result<(), BulkError> {
        sqlx::query(include_str!("../../../sql/statements/outbox/cache_add.sql"))
            .bind(["list:new", "search"])
            .execute(&mut self.session)
            .await
            .map_err(BulkError::at("add to the outbox"))?;
        Ok(())
    }

    /// Fills the shelves from `pitches`, as its trigger would have done row by row.
    pub async fn fill_listings(&mut self) -> Result<u64, BulkError> {
        self.rows(
            "fill the listings",
            "INSERT INTO pitch_listings (shelf, pitch_id, creator_id, format, stage, published_at, trending_score, view_count)
             SELECT shelf, n.id, n.creator_id, n.format, n.stage, n.published_at,
                    greatest(n.trending_score, trending_base(n.published_at)), n.view_count
             FROM pitches n
             CROSS JOIN LATERAL unnest(n.genres || 'all'::text
                 || CASE WHEN n.visibility = 'public' THEN ARRAY['public'] ELSE '{}' END) AS shelf
             WHERE n.status = 'published' AND n.visibility <> 'private' AND n.deleted_at IS NULL",
        )
        .await
    }

    /// Fills the words that searches are corrected to, as the trigger of `pitches` would have done; `texts` are
    /// the words of titles and names, in any spelling.
    pub async fn fill_search_words(&mut self, texts: &[String]) -> Result<u64, BulkError> {
        let done = sqlx::query(
            "INSERT INTO search_words (word)
             SELECT DISTINCT left(word, 64)
             FROM unnest($1::text[]) AS t (words)
             CROSS JOIN LATERAL regexp_split_to_table(title_key(words), ' ') AS word
             WHERE word <> ''",
        )
        .bind(texts)
        .execute(&mut self.session)
        .await
        .map_err(BulkError::at("fill the words of searches"))?;
        Ok(done.rows_affected())
    }

    /// Sets the visibility map and the planner's figures of a table that has only grown.
    pub async fn settle_table(&mut self, table: &str) -> Result<(), BulkError> {
        // Nothing was deleted, so there is nothing in the indexes to clean.
        self.run(
            "vacuum a table",
            &format!("VACUUM (ANALYZE, INDEX_CLEANUP off) {table}"),
        )
        .await
    }

    /// Computes `mv_pitch_stats` anew.
    pub async fn refresh_stats(&mut self) -> Result<(), BulkError> {
        self.run(
            "refresh the figures of pitches",
            "REFRESH MATERIALIZED VIEW mv_pitch_stats",
        )
        .await?;
        self.settle_table("mv_pitch_stats").await
    }

    /// The tables that are to be settled after a load.
    pub fn loaded_tables() -> impl Iterator<Item = &'static str> {
        TABLES.iter().chain(PARTITIONED).copied()
    }

    pub(super) async fn rows(
        &mut self,
        step: &'static str,
        statement: &str,
    ) -> Result<u64, BulkError> {
        let done = sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut self.session)
            .await
            .map_err(BulkError::at(step))?;
        Ok(done.rows_affected())
    }

    pub(super) async fn run(
        &mut self,
        step: &'static str,
        statements: &str,
    ) -> Result<(), BulkError> {
        self.rows(step, statements).await.map(drop)
    }
}
