//! The steps of a load that several connections do side by side.

use super::load::Load;
use crate::progress::Progress;
use anyhow::Context as _;
use pitchey_store_pg::bulk::{BulkConnection, Step};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Something that one connection does while others do something else.
pub(super) enum Work {
    /// Fills the shelves; then their indexes can be built.
    Listings(Vec<Step>),
    Words(Vec<String>),
    Restore(Step),
    Settle(&'static str),
}

impl Work {
    /// What it is called in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Listings(_) => "pitch_listings".to_owned(),
            Self::Words(_) => "search_words".to_owned(),
            Self::Restore(step) => step.name.clone(),
            Self::Settle(table) => format!("vacuum {table}"),
        }
    }

    /// Does it. The table that was filled, and with how many rows.
    pub(super) async fn run(
        self,
        database: &mut BulkConnection,
        queue: &Mutex<VecDeque<Self>>,
    ) -> anyhow::Result<Option<(&'static str, u64)>> {
        Ok(match self {
            Self::Listings(indexes) => {
                let rows = database.fill_listings().await?;
                let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                queue.extend(indexes.into_iter().map(Self::Restore));
                Some(("pitch_listings", rows))
            }
            Self::Words(words) => Some(("search_words", database.fill_search_words(&words).await?)),
            Self::Restore(step) => {
                database.restore(&step).await?;
                None
            }
            Self::Settle(table) => {
                database.settle_table(table).await?;
                None
            }
        })
    }
}

/// What the streams into one table share.
pub(super) struct Shared<'a> {
    load: &'a Load,
    next: AtomicU64,
    rows: AtomicU64,
    progress: &'a Mutex<Progress>,
}

impl<'a> Shared<'a> {
    pub(super) fn new(load: &'a Load, progress: &'a Mutex<Progress>) -> Self {
        Self {
            load,
            next: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            progress,
        }
    }

    /// The next piece that nobody makes yet.
    fn piece(&self) -> Option<Range<u64>> {
        let from = self.next.fetch_add(self.load.piece, Ordering::Relaxed);
        (from < self.load.count).then(|| from..(from + self.load.piece).min(self.load.count))
    }

    /// Copies pieces through a connection until there are no more. How many rows those were.
    pub(super) async fn stream(&self, database: &mut BulkConnection) -> anyhow::Result<u64> {
        let make = |range| {
            let make = Arc::clone(&self.load.make);
            tokio::task::spawn_blocking(move || make(range))
        };
        let mut copy = database
            .copy_in_table(self.load.table, self.load.columns)
            .await?;
        // While a piece is being sent, the next one is being made.
        let mut ahead = self.piece().map(make);
        while let Some(piece) = ahead {
            let rows = piece.await?;
            ahead = self.piece().map(make);
            copy.send(&rows).await?;
            let done = self.rows.fetch_add(rows.len(), Ordering::Relaxed) + rows.len();
            let position = self.next.load(Ordering::Relaxed).min(self.load.count);
            let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress.at(done, position);
        }
        copy.finish().await.with_context(|| self.load.table)
    }
}
