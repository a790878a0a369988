//! Which writes a read sees.

use crate::PgStore;
use pitchey_model::WalPosition;
use pitchey_store::{Freshness, StoreError};

impl Freshness for PgStore {
    fn reading(&self, after: Option<WalPosition>) -> Self {
        Self {
            after: self.after.max(after),
            ..self.clone()
        }
    }

    async fn written_position(&self) -> Result<Option<WalPosition>, StoreError> {
        if self.replicas.is_none() && !self.announces_positions {
            return Ok(None);
        }
        let position = self
            .read("replication.written", |mut lease| {
                let query = sqlx::query_file_scalar!("../sql/statements/replication/written.sql");
                async move { query.fetch_one(&mut *lease).await }
            })
            .await?;
        Ok(Some(WalPosition(position.cast_unsigned())))
    }
}
