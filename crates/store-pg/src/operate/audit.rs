//! The audit log.

use crate::PgStore;
use crate::effects::Made;
use pitchey_model::UserId;
use pitchey_store::StoreError;
use pitchey_store::accounts::{Operation, Origin};
use serde_json::Value;
use sqlx::types::ipnetwork::IpNetwork;
use std::net::IpAddr;
use time::OffsetDateTime;
use uuid::Uuid;

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// The entry.
    pub id: Uuid,
    /// When.
    pub created_at: OffsetDateTime,
    /// Which account did it; none if it was an operator, who is then named in `detail`.
    pub actor: Option<UserId>,
    /// What was done.
    pub action: String,
    /// The kind of thing it was done to.
    pub subject_kind: String,
    /// The thing it was done to.
    pub subject: Option<Uuid>,
    /// More about it: a JSON object.
    pub detail: Value,
    /// From where.
    pub ip: Option<IpAddr>,
    /// In which request.
    pub request_id: Option<String>,
}

/// Which entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Not before this moment.
    pub since: Option<OffsetDateTime>,
    /// Of one account.
    pub actor: Option<UserId>,
    /// About one thing.
    pub subject: Option<Uuid>,
}

/// The place of an entry in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditPosition {
    /// Its time.
    pub created_at: OffsetDateTime,
    /// Its id.
    pub id: Uuid,
}

struct AuditRow {
    id: Uuid,
    created_at: OffsetDateTime,
    actor_id: Option<Uuid>,
    action: String,
    subject_kind: String,
    subject_id: Option<Uuid>,
    detail: Value,
    ip: Option<IpNetwork>,
    request_id: Option<String>,
}

impl From<AuditRow> for AuditRecord {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id,
            created_at: row.created_at,
            actor: row.actor_id.map(UserId),
            action: row.action,
            subject_kind: row.subject_kind,
            subject: row.subject_id,
            detail: row.detail,
            ip: row.ip.map(|network| network.ip()),
            request_id: row.request_id,
        }
    }
}

impl PgStore {
    /// Writes what an operator, who has no account, did to what runs the site into the audit log.
    pub async fn note_operated(
        &self,
        operator: &str,
        operation: &Operation,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let named = ("operator", operator.to_owned());
        let detail: Vec<_> = operation.detail.iter().cloned().chain([named]).collect();
        let detail = &detail;
        self.run_write("audit.add", |mut tx| async move {
            let made = Made {
                by: None,
                origin: &Origin::default(),
                at: now,
            };
            let subject = (operation.subject_kind, None);
            self.write_audit(&mut tx, operation.action, subject, detail, made)
                .await?;
            Ok((tx, ()))
        })
        .await
    }

    /// Entries of the audit log, newest first: at most `limit`, right behind `after`.
    pub async fn audit_log(
        &self,
        filter: &AuditFilter,
        after: Option<AuditPosition>,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let since = filter.since.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (time, id) = (after.map(|at| at.created_at), after.map(|at| at.id));
        let limit = i64::from(limit);
        let actor = filter.actor.map(|actor| actor.0);
        let rows = match (filter.subject, actor) {
            (Some(subject), actor) => {
                self.read("audit.of_subject", |mut lease| {
                    let query = sqlx::query_file_as!(
                        AuditRow,
                        "../sql/statements/audit/of_subject.sql",
                        subject,
                        since,
                        time,
                        id,
                        actor,
                        limit
                    );
                    async move { query.fetch_all(&mut *lease).await }
                })
                .await?
            }
            (None, Some(actor)) => {
                self.read("audit.of_actor", |mut lease| {
                    let query = sqlx::query_file_as!(
                        AuditRow,
                        "../sql/statements/audit/of_actor.sql",
                        actor,
                        since,
                        time,
                        id,
                        limit
                    );
                    async move { query.fetch_all(&mut *lease).await }
                })
                .await?
            }
            (None, None) => {
                self.read("audit.tail", |mut lease| {
                    let query = sqlx::query_file_as!(
                        AuditRow,
                        "../sql/statements/audit/tail.sql",
                        since,
                        time,
                        id,
                        limit
                    );
                    async move { query.fetch_all(&mut *lease).await }
                })
                .await?
            }
        };
        Ok(rows.into_iter().map(Into::into).collect())
    }
}
