//! The store.

use crate::error::{Behind, store_error};
use crate::statements::{ID_BY_USERNAME, PING, REPLAYED};
use futures::future::join;
use pitchey_model::{
    BrowseQuery, Page, PitchCard, PitchDetail, PitchId, Position, Profile, SearchPage, SearchQuery,
    UserId, Username, WalPosition,
};
use pitchey_store::{Freshness, Health, Pitches, StoreError, Users};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

/// A parameter of a statement, and its type.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// Who opens connections to one server, and hands them out. Cheap to clone.
pub trait Connections: Clone + Send + Sync + 'static {
    /// A connection. Dropped, it is closed: perhaps nobody has read what it is at.
    type Connection: Deref<Target = Client> + Send + Sync;

    /// Waits for one, within a deadline of its own.
    fn connection(&self) -> impl Future<Output = Result<Self::Connection, StoreError>> + Send;

    /// Takes one back that nothing is asked of any more.
    fn release(&self, connection: Self::Connection);
}

/// How far a database is told to be. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    replayed: AtomicU64,
    times: AtomicU64,
}

impl Progress {
    /// No replica: it has everything.
    const PRIMARY: u64 = u64::MAX;

    fn note(&self, replayed: Option<WalPosition>) {
        let replayed = replayed.map_or(Self::PRIMARY, |WalPosition(position)| position);
        self.0.replayed.store(replayed, Ordering::Relaxed);
        self.0.times.fetch_add(1, Ordering::Release);
    }

    /// How often it has told something.
    pub fn times(&self) -> u64 {
        self.0.times.load(Ordering::Acquire)
    }

    /// Up to where it had replayed when it was asked last; `None` of a primary.
    pub fn replayed(&self) -> Option<WalPosition> {
        let position = self.0.replayed.load(Ordering::Relaxed);
        (position != Self::PRIMARY).then_some(WalPosition(position))
    }
}

/// The read ports over one database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RegionalStore<C> {
    connections: C,
    after: Option<WalPosition>,
    progress: Progress,
}

impl<C: Connections> RegionalStore<C> {
    /// Over these connections.
    pub fn new(connections: C) -> Self {
        Self {
            connections,
            after: None,
            progress: Progress::default(),
        }
    }

    /// How far the database is, as of the last statement that demanded something.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Asks how far the database is.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let connection = self.connections.connection().await?;
        let replayed = replayed(&connection).await;
        self.connections.release(connection);
        self.progress.note(replayed.map_err(store_error)?);
        Ok(())
    }

    /// The rows of a statement, if the database has what this view demands.
    pub(crate) async fn rows(
        &self,
        text: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        let connection = self.connections.connection().await?;
        let Some(demanded) = self.after else {
            let rows = connection.query_typed(text, parameters).await;
            self.connections.release(connection);
            return rows.map_err(store_error);
        };
        // The first is polled first, so it is sent first, and the server answers in that order.
        let asked = connection.query_typed(text, parameters);
        let (position, rows) = join(replayed(&connection), asked).await;
        self.connections.release(connection);
        let position = position.map_err(store_error)?;
        self.progress.note(position);
        match position {
            Some(replayed) if replayed < demanded => {
                let behind = Behind { demanded, replayed };
                Err(StoreError::Overloaded(behind.into()))
            }
            _ => rows.map_err(store_error),
        }
    }

    pub(crate) async fn row(
        &self,
        text: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(text, parameters).await?.into_iter().next())
    }
}

/// How far a replica is; `None` of a primary.
async fn replayed(client: &Client) -> Result<Option<WalPosition>, tokio_postgres::Error> {
    let row = client.query_typed_one(REPLAYED, &[]).await?;
    let position: Option<i64> = row.try_get("position")?;
    Ok(position.map(|position| WalPosition(position.cast_unsigned())))
}

impl<C: Connections> Pitches for RegionalStore<C> {
    async fn browse(
        &self,
        query: &BrowseQuery,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<PitchCard>, StoreError> {
        pitchey_reads::browse(self, query, after, limit).await
    }

    async fn detail(&self, id: PitchId) -> Result<Option<PitchDetail>, StoreError> {
        pitchey_reads::detail(self, id).await
    }

    async fn search(
        &self,
        query: &SearchQuery,
        after: Option<Position>,
        limit: u32,
    ) -> Result<SearchPage, StoreError> {
        pitchey_reads::search(self, query, after, limit).await
    }
}

impl<C: Connections> Users for RegionalStore<C> {
    async fn profile(&self, username: &Username) -> Result<Option<Profile>, StoreError> {
        pitchey_reads::profile(self, username).await
    }

    async fn user_id(&self, username: &Username) -> Result<Option<UserId>, StoreError> {
        let name = username.as_str();
        let row = self.row(ID_BY_USERNAME, &[(&name, Type::TEXT)]).await?;
        let id = row.map(|row| row.try_get::<_, uuid::Uuid>("id"));
        Ok(id.transpose().map_err(store_error)?.map(Into::into))
    }
}

impl<C: Connections> Health for RegionalStore<C> {
    async fn ping(&self) -> Result<(), StoreError> {
        let connection = self.connections.connection().await?;
        let asked = connection.query_typed(PING, &[]).await;
        self.connections.release(connection);
        asked.map(|_| ()).map_err(store_error)
    }
}

impl<C: Connections> Freshness for RegionalStore<C> {
    fn reading(&self, after: Option<WalPosition>) -> Self {
        Self {
            after: self.after.max(after),
            ..self.clone()
        }
    }

    /// Nothing is written here.
    async fn written_position(&self) -> Result<Option<WalPosition>, StoreError> {
        Ok(None)
    }
}
