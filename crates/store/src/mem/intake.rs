//! What is counted and measured.

use super::{MemStore, micros};
use crate::StoreError;
use crate::intake::{AnalyticsEvent, Intake, RumSample, View};
use time::UtcOffset;

impl Intake for MemStore {
    async fn record_views(&self, views: &[View]) -> Result<u64, StoreError> {
        let mut state = self.up()?;
        let mut new = 0;
        for view in views {
            let at = micros(view.at).to_offset(UtcOffset::UTC);
            let view = View { at, ..*view };
            state.latest = state.latest.max(Some(at));
            let counted = state.views.iter().any(|other| {
                (other.pitch, other.viewer, other.at.date()) == (view.pitch, view.viewer, at.date())
            });
            let mut pitches = state.pitches.iter_mut();
            let row = pitches.find(|row| row.pitch.id == view.pitch && row.is_listed());
            if let Some(row) = row.filter(|_| !counted) {
                row.pitch.view_count += 1;
                state.views.push(view);
                new += 1;
            }
        }
        Ok(new)
    }

    async fn record_rum(&self, samples: &[RumSample]) -> Result<(), StoreError> {
        let mut state = self.up()?;
        for sample in samples {
            if !state.rum.iter().any(|kept| kept.id == sample.id) {
                state.rum.push(RumSample {
                    at: micros(sample.at),
                    ..sample.clone()
                });
            }
        }
        Ok(())
    }

    async fn record_events(&self, events: &[AnalyticsEvent]) -> Result<(), StoreError> {
        let mut state = self.up()?;
        for event in events {
            if !state.analytics.iter().any(|kept| kept.id == event.id) {
                state.analytics.push(AnalyticsEvent {
                    at: micros(event.at),
                    ..event.clone()
                });
            }
        }
        Ok(())
    }
}
