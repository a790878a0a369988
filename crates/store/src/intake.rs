//! What is counted and measured: written in batches, behind the answers.

use crate::StoreError;
use pitchey_model::{PitchId, RumMetric, UserId};
use time::OffsetDateTime;
use uuid::Uuid;

/// Somebody looked at a pitch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct View {
    /// The pitch.
    pub pitch: PitchId,
    /// A keyed hash of the account or of the client: who, without saying who.
    pub viewer: [u8; 16],
    /// When.
    pub at: OffsetDateTime,
}

/// What a browser measured of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct RumSample {
    /// What it will be called.
    pub id: Uuid,
    /// When it was received.
    pub at: OffsetDateTime,
    /// What was measured.
    pub metric: RumMetric,
    /// In the metric's unit; finite, from 0 to below 600,000.
    pub value: f64,
    /// On which kind of page, at most 128 characters.
    pub route: String,
    /// Through which location of the edge, at most 16 characters.
    pub edge_location: String,
    /// Over what kind of connection, at most 16 characters.
    pub connection: String,
}

/// Something that happened on a page.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalyticsEvent {
    /// What it will be called.
    pub id: Uuid,
    /// When it was received.
    pub at: OffsetDateTime,
    /// What happened: `^[a-z][a-z0-9_.]{0,63}$`.
    pub kind: String,
    /// Who did it, if they are signed in.
    pub user: Option<UserId>,
    /// To which pitch.
    pub pitch: Option<PitchId>,
    /// A keyed hash of the client.
    pub client: [u8; 16],
    /// On which page, at most 512 characters.
    pub path: String,
    /// More about it: a JSON object of at most 4 KiB as text.
    pub payload: String,
}

/// Where batches go. Each call is one transaction, and may be repeated: a row that is there already is
/// not written or counted again.
pub trait Intake {
    /// Counts views: once for each viewer, pitch and day (UTC). Pitches that are not on the site are passed
    /// over. How many were new.
    fn record_views(&self, views: &[View]) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Keeps measurements.
    fn record_rum(
        &self,
        samples: &[RumSample],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Keeps events.
    fn record_events(
        &self,
        events: &[AnalyticsEvent],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
