//! What operators do to accounts, sessions, pitches and the outbox, and read of the audit log.
//!
//! An operator has no account: the audit log names them in an entry's detail, as they name themselves.
//! Changes leave the same tags and events as the API's, and wake the relays of every origin, since the
//! process that makes them has none.

mod audit;
mod outbox;
mod pitches;
mod users;

pub use audit::{AuditFilter, AuditPosition, AuditRecord};
pub use pitches::PitchRecord;
pub use users::{UserChange, UserDetails, UserFilter, UserKey, UserRecord};

use crate::PgStore;
use crate::effects::Made;
use crate::tx::{Abort, Tx};
use pitchey_model::event::Effects;
use pitchey_store::accounts::Origin;
use time::OffsetDateTime;

impl PgStore {
    /// Writes what a change by an operator brings about, and wakes the relays.
    async fn write_operated(
        &self,
        tx: &mut Tx,
        effects: &Effects,
        now: OffsetDateTime,
    ) -> Result<(), Abort> {
        let made = Made {
            by: None,
            origin: &Origin::default(),
            at: now,
        };
        self.write_effects(tx, effects, made).await?;
        if tx.wrote_outbox() {
            sqlx::query_file_scalar!("../sql/statements/outbox/wake.sql")
                .fetch_one(&mut **tx)
                .await?;
        }
        Ok(())
    }
}
