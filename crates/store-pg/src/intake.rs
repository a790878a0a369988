//! What is counted and measured, in batches.

use crate::PgStore;
use pitchey_store::StoreError;
use pitchey_store::intake::{AnalyticsEvent, Intake, RumSample, View};
use serde_json::{Map, Value};

impl Intake for PgStore {
    async fn record_views(&self, views: &[View]) -> Result<u64, StoreError> {
        if views.is_empty() {
            return Ok(0);
        }
        let pitches: Vec<_> = views.iter().map(|view| view.pitch.0).collect();
        let viewers: Vec<_> = views.iter().map(|view| view.viewer.to_vec()).collect();
        let times: Vec<_> = views.iter().map(|view| view.at).collect();
        let (pitches, viewers, times) = (&pitches, &viewers, &times);
        let counted = self
            .run_write("views.record", |mut tx| async move {
                let counted = sqlx::query_file_scalar!(
                    "../sql/statements/views/record.sql",
                    pitches,
                    viewers,
                    times
                )
                .fetch_one(&mut *tx)
                .await?;
                Ok((tx, counted))
            })
            .await?;
        Ok(counted.unsigned_abs())
    }

    async fn record_rum(&self, samples: &[RumSample]) -> Result<(), StoreError> {
        if samples.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = samples.iter().map(|sample| sample.id).collect();
        let times: Vec<_> = samples.iter().map(|sample| sample.at).collect();
        let metrics: Vec<_> = samples.iter().map(|s| s.metric.as_str()).collect();
        let values: Vec<_> = samples.iter().map(|sample| sample.value).collect();
        let routes: Vec<_> = samples.iter().map(|s| s.route.as_str()).collect();
        let locations: Vec<_> = samples.iter().map(|s| s.edge_location.as_str()).collect();
        let connections: Vec<_> = samples.iter().map(|s| s.connection.as_str()).collect();
        let (ids, times, metrics, values) = (&ids, &times, &metrics, &values);
        let (routes, locations, connections) = (&routes, &locations, &connections);
        self.run_write("rum.record", |mut tx| async move {
            sqlx::query_file!(
                "../sql/statements/rum/record.sql",
                ids,
                times,
                metrics as _,
                values,
                routes as _,
                locations as _,
                connections as _
            )
            .execute(&mut *tx)
            .await?;
            Ok((tx, ()))
        })
        .await
    }

    async fn record_events(&self, events: &[AnalyticsEvent]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = events.iter().map(|event| event.id).collect();
        let times: Vec<_> = events.iter().map(|event| event.at).collect();
        let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
        let users: Vec<_> = events.iter().map(|e| e.user.map(|user| user.0)).collect();
        let pitches: Vec<_> = events.iter().map(|e| e.pitch.map(|p| p.0)).collect();
        let clients: Vec<_> = events.iter().map(|event| event.client.to_vec()).collect();
        let paths: Vec<_> = events.iter().map(|event| event.path.as_str()).collect();
        let payloads: Vec<_> = events.iter().map(|event| object(&event.payload)).collect();
        let (ids, times, kinds, users) = (&ids, &times, &kinds, &users);
        let (pitches, clients, paths, payloads) = (&pitches, &clients, &paths, &payloads);
        self.run_write("analytics.record", |mut tx| async move {
            sqlx::query_file!(
                "../sql/statements/analytics/record.sql",
                ids,
                times,
                kinds as _,
                users as _,
                pitches as _,
                clients,
                paths as _,
                payloads
            )
            .execute(&mut *tx)
            .await?;
            Ok((tx, ()))
        })
        .await
    }
}

/// A payload as the database takes it. One row that it does not take would fail the whole batch: what is
/// no object becomes an empty one, and U+0000, which no text of PostgreSQL can hold, its replacement.
fn object(payload: &str) -> Value {
    let parsed: Map<String, Value> = serde_json::from_str(payload).unwrap_or_default();
    without_nul(Value::Object(parsed))
}

fn without_nul(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('\0', "\u{fffd}")),
        Value::Array(items) => items.into_iter().map(without_nul).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name.replace('\0', "\u{fffd}"), without_nul(value)))
            .collect(),
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_payload_becomes_what_the_database_takes() {
        assert_eq!(object(r#"{"a": [1, "x"]}"#), json!({"a": [1, "x"]}));
        for strange in ["", "[1]", "null", "{", r#"{"a": 1e999}"#] {
            assert_eq!(object(strange), json!({}), "{strange}");
        }
        assert_eq!(
            object(r#"{"a\u0000": ["b\u0000", {"c": "\u0000"}]}"#),
            json!({"a\u{fffd}": ["b\u{fffd}", {"c": "\u{fffd}"}]})
        );
    }
}
