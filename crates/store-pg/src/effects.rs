//! What a change brings about beside itself, and doing a request once: written in its transaction.

use crate::PgStore;
use crate::tx::{Abort, Tx};
use pitchey_model::decide::{Conflict, Refusal};
use pitchey_model::event::{Audience, Audit, Effects, Event, Tag};
use pitchey_model::{NotificationId, UserId};
use pitchey_runtime::uuid_v7;
use pitchey_store::StoreError;
use pitchey_store::accounts::Origin;
use pitchey_store::market::{Once, StoredAnswer};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::types::ipnetwork::IpNetwork;
use std::net::IpAddr;
use time::OffsetDateTime;
use uuid::Uuid;

/// Who made a change, when, and from where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made<'a> {
    /// The account, unless an operator made it.
    pub(crate) by: Option<UserId>,
    /// From where.
    pub(crate) origin: &'a Origin,
    /// When.
    pub(crate) at: OffsetDateTime,
}

impl PgStore {
    /// Writes the tags, events, notifications and audit entries of a change.
    pub(crate) async fn write_effects(
        &self,
        tx: &mut Tx,
        effects: &Effects,
        made: Made<'_>,
    ) -> Result<(), Abort> {
        tx.wrote_events |= !(effects.events.is_empty() && effects.notices.is_empty());
        if !effects.tags.is_empty() {
            let tags: Vec<&str> = effects.tags.iter().map(Tag::as_str).collect();
            let rows =
                sqlx::query_file_scalar!("../sql/statements/outbox/cache_add.sql", &tags as _)
                    .fetch_all(&mut **tx)
                    .await?;
            tx.raised.rows.extend(rows);
            tx.raised.tags.extend(tags.into_iter().map(str::to_owned));
        }
        let mut events = effects.events.clone();
        for (audience, kind, notice) in &effects.notices {
            let payload = json(notice)?;
            match *audience {
                Audience::User(user_id) => {
                    let id = uuid_v7(&self.clock, &self.clock);
                    let kind_text = kind.as_str();
                    sqlx::query_file!(
                        "../sql/statements/notifications/add.sql",
                        id,
                        user_id.0,
                        kind_text,
                        payload,
                        made.at
                    )
                    .execute(&mut **tx)
                    .await?;
                    events.push(Event::Notified {
                        user_id,
                        notification_id: NotificationId(id),
                        notice: *kind,
                    });
                }
                Audience::FollowersOf(followed) => {
                    let kind_text = kind.as_str();
                    sqlx::query_file!(
                        "../sql/statements/notifications/add_followers.sql",
                        followed.0,
                        kind_text,
                        payload,
                        made.at,
                        Audience::MAX_FOLLOWERS
                    )
                    .execute(&mut **tx)
                    .await?;
                }
            }
        }
        write_events(tx, &events).await?;
        for entry in &effects.audit {
            let Audit {
                action,
                subject_kind: kind,
                subject_id,
                detail,
            } = entry;
            self.write_audit(tx, action, (kind, Some(*subject_id)), detail, made)
                .await?;
        }
        Ok(())
    }

    /// Writes an entry of the audit log: what was done, to what kind of thing and to which, if it is one.
    pub(crate) async fn write_audit(
        &self,
        tx: &mut Tx,
        action: &str,
        (subject_kind, subject): (&str, Option<Uuid>),
        detail: &[(&'static str, String)],
        made: Made<'_>,
    ) -> Result<(), Abort> {
        let detail: Map<String, Value> = detail
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())))
            .collect();
        let by = made.by.map(|user| user.0);
        sqlx::query_file!(
            "../sql/statements/audit/add.sql",
            uuid_v7(&self.clock, &self.clock),
            by,
            action,
            subject_kind,
            subject,
            Value::Object(detail),
            network(made.origin.ip),
            made.origin.request_id.as_deref(),
            made.at
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

/// Puts events into the outbox, in order.
async fn write_events(tx: &mut Tx, events: &[Event]) -> Result<(), Abort> {
    if events.is_empty() {
        return Ok(());
    }
    let kinds: Vec<&str> = events.iter().map(Event::aggregate_kind).collect();
    let ids: Vec<_> = events.iter().map(Event::aggregate_id).collect();
    let names: Vec<&str> = events.iter().map(Event::kind).collect();
    let payloads = events
        .iter()
        .map(|event| json(event).map(|value| value.to_string()))
        .collect::<Result<Vec<String>, _>>()?;
    sqlx::query_file!(
        "../sql/statements/outbox/event_add.sql",
        &kinds as _,
        &ids,
        &names as _,
        &payloads
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The answer that a request with this key was given before, if there is one. Without one, nobody else
/// works on it until this transaction ends.
pub(crate) async fn answered_before<T>(
    tx: &mut Tx,
    user: UserId,
    once: &Once<T>,
    now: OffsetDateTime,
) -> Result<Option<StoredAnswer>, Abort> {
    let claimed =
        sqlx::query_file_scalar!("../sql/statements/idempotency/claim.sql", user.0, once.key)
            .fetch_one(&mut **tx)
            .await?;
    if !claimed {
        return Err(Refusal::from(Conflict::KeyInFlight).into());
    }
    let row = sqlx::query_file!(
        "../sql/statements/idempotency/by_key.sql",
        user.0,
        once.key,
        now
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if row.request_hash != once.request_hash {
        return Err(Refusal::KeyReused.into());
    }
    let headers = serde_json::from_value(row.response_headers)
        .map_err(|error| StoreError::Internal(error.into()))?;
    Ok(Some(StoredAnswer {
        status: row.response_status.cast_unsigned(),
        headers,
        body: row.response_body,
    }))
}

/// Keeps the answer to a request that is done now.
pub(crate) async fn keep_answer<T>(
    tx: &mut Tx,
    user: UserId,
    once: &Once<T>,
    done: &T,
    now: OffsetDateTime,
) -> Result<(), Abort> {
    let answer = (once.answer)(done);
    sqlx::query_file!(
        "../sql/statements/idempotency/keep.sql",
        user.0,
        once.key,
        &once.request_hash,
        answer.status.cast_signed(),
        json(&answer.headers)?,
        answer.body,
        now,
        once.expires_at
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An address as the column keeps it.
pub(crate) fn network(ip: Option<IpAddr>) -> Option<IpNetwork> {
    ip.map(IpNetwork::from)
}

fn json(value: &impl Serialize) -> Result<Value, StoreError> {
    serde_json::to_value(value).map_err(|error| StoreError::Internal(error.into()))
}
