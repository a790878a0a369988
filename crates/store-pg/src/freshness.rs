//! Which writes a read sees.

use crate::PgStore;
use pitchey_model::WalPosition;
use pitchey_store::{Freshness, StoreError};

impl Freshness for PgStore {
    fn reading(&self, _after: Option<WalPosition>) -> Self {
        self.clone()
    }

    async fn written_position(&self) -> Result<Option<WalPosition>, StoreError> {
        Ok(None)
    }
}
