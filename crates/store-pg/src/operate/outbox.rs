//! Delivering once more.

use crate::effects::Made;
use crate::{PgStore, Replay};
use pitchey_store::StoreError;
use pitchey_store::accounts::Origin;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

impl PgStore {
    /// Makes what was delivered since a moment pending again, and gives how many rows: [`PgStore::replay`]. The
    /// audit log has it before the first of them is.
    pub async fn operate_replay(
        &self,
        what: &Replay,
        since: OffsetDateTime,
        operator: &str,
        now: OffsetDateTime,
    ) -> Result<u64, StoreError> {
        let moment = since
            .format(&Rfc3339)
            .map_err(|error| StoreError::Internal(error.into()))?;
        let mut detail = vec![("operator", operator.to_owned()), ("since", moment)];
        let kind = match what {
            Replay::Tags => "tags",
            Replay::Events(kind) => {
                detail.extend(kind.clone().map(|kind| ("kind", kind)));
                "events"
            }
        };
        detail.push(("what", kind.to_owned()));
        let detail = &detail;
        self.run_write("operate.replay", |mut tx| async move {
            let made = Made {
                by: None,
                origin: &Origin::default(),
                at: now,
            };
            self.write_audit(&mut tx, "outbox.replay", ("outbox", None), detail, made)
                .await?;
            Ok((tx, ()))
        })
        .await?;
        self.replay(what, since).await
    }
}
