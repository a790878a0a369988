//! What is counted and measured.

use super::given::{at, cast, drafted, id, published, stepped};
use super::{Harness, Result};
use crate::intake::{AnalyticsEvent, RumSample, View};
use crate::{FullStore, Intake as _, Pitches as _, StoreError};
use pitchey_model::lifecycle::PitchAction;
use pitchey_model::{PitchId, RumMetric, Visibility};
use time::{Duration, OffsetDateTime};

fn view(pitch: PitchId, viewer: u8, at: OffsetDateTime) -> View {
    View {
        pitch,
        viewer: [viewer; 16],
        at,
    }
}

async fn views<S: FullStore>(store: &S, pitch: PitchId) -> std::result::Result<i64, StoreError> {
    let full = store.full_pitch(pitch, None).await?.expect("it is there");
    Ok(full.pitch.view_count)
}

/// In one batch or in two, and only of what is on the site.
pub async fn views_count_once_for_each_viewer_and_day(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let pitch = published(store, &cast.ann, 100, Visibility::Public, at(0))
        .await?
        .id;
    let nda = published(store, &cast.ann, 101, Visibility::Nda, at(0))
        .await?
        .id;
    let private = published(store, &cast.ann, 102, Visibility::Private, at(0))
        .await?
        .id;
    let draft = drafted(store, &cast.ann, 103, Visibility::Public, at(0))
        .await?
        .id;
    // Just before midnight (UTC), and told in another zone.
    let noon = OffsetDateTime::UNIX_EPOCH + Duration::days(20_200) + Duration::hours(12);
    let east = time::UtcOffset::from_hms(9, 0, 0).expect("Tokyo is there");
    let night = noon + Duration::hours(11);
    let batch = [
        view(pitch, 1, noon),
        view(pitch, 1, noon + Duration::hours(1)),
        view(pitch, 1, night.to_offset(east)),
        view(pitch, 2, noon),
        view(nda, 1, noon),
        view(private, 1, noon),
        view(draft, 1, noon),
        view(id(999), 1, noon),
    ];
    assert_eq!(store.record_views(&batch).await?, 3);
    assert_eq!(
        (views(store, pitch).await?, views(store, nda).await?),
        (2, 1)
    );
    assert_eq!(
        (views(store, private).await?, views(store, draft).await?),
        (0, 0)
    );
    let seen = store.detail(pitch).await?.expect("it is on the site");
    assert_eq!(
        (seen.card.view_count, seen.version),
        (2, 2),
        "a view is no change"
    );
    assert_eq!(seen.updated_at, at(0));

    assert_eq!(store.record_views(&batch).await?, 0, "the batch came again");
    assert_eq!(store.record_views(&[]).await?, 0);
    let next_day = view(pitch, 1, noon + Duration::hours(12));
    assert_eq!(
        store
            .record_views(&[view(pitch, 2, noon), next_day])
            .await?,
        1
    );
    assert_eq!(views(store, pitch).await?, 3);

    stepped(store, &cast.ann, pitch, PitchAction::Archive, at(1)).await?;
    let late = view(pitch, 9, noon);
    assert_eq!(store.record_views(&[late]).await?, 0);
    stepped(store, &cast.ann, pitch, PitchAction::Publish, at(2)).await?;
    assert_eq!(store.record_views(&[late]).await?, 1);
    assert_eq!(views(store, pitch).await?, 4);
    Ok(())
}

/// A batch that comes again is not kept twice, and what is new in it is.
pub async fn measurements_are_kept_once(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let now = harness.now();
    let sample = |n: u128| RumSample {
        id: uuid::Uuid::from_u128(n),
        at: now,
        metric: RumMetric::Inp,
        value: 12.5,
        route: "/pitches/{id}".to_owned(),
        edge_location: "FRA".to_owned(),
        connection: "4g".to_owned(),
    };
    store.record_rum(&[sample(1), sample(2)]).await?;
    store.record_rum(&[sample(1), sample(2), sample(3)]).await?;
    store.record_rum(&[]).await?;
    assert_eq!(harness.traces().await.rum, 3);

    let event = |n: u128| AnalyticsEvent {
        id: uuid::Uuid::from_u128(n),
        at: now,
        kind: "pitch.opened".to_owned(),
        user: (n > 1).then_some(cast.ann.id),
        pitch: (n > 2).then_some(id(100)),
        client: [3; 16],
        path: "/pitches/‘100’".to_owned(),
        payload: r#"{"from":"search","n":1}"#.to_owned(),
    };
    store.record_events(&[event(1), event(2)]).await?;
    store.record_events(&[event(1), event(2), event(3)]).await?;
    store.record_events(&[]).await?;
    assert_eq!(harness.traces().await.analytics, 3);
    Ok(())
}
