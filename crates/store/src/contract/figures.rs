//! The figures of dashboards.

use super::given::{at, cast, done, drafted, expressed, id, origin, published, requested, stepped};
use super::{Harness, Result};
use crate::intake::View;
use crate::market::{CreatorFigures, InvestorFigures};
use crate::{Intake as _, Market as _};
use pitchey_model::decide::{Expected, NdaStep};
use pitchey_model::lifecycle::{InterestAction, NdaAction, PitchAction};
use pitchey_model::{InterestId, NdaId, Visibility};
use time::Duration;

fn approve(expires_at: Option<time::OffsetDateTime>) -> NdaStep {
    NdaStep {
        action: NdaAction::Approve,
        decision: String::new(),
        expires_at,
    }
}

/// What is so now is counted at once, the rest as of the last refresh; nobody else's counts.
pub async fn creators_have_figures(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let (ann, any, now) = (&cast.ann, Expected::Any, harness.now());
    assert_eq!(
        store.creator_figures(ann.id).await?,
        CreatorFigures::default()
    );

    drafted(store, ann, 100, Visibility::Public, at(0)).await?;
    drafted(store, ann, 101, Visibility::Public, at(0)).await?;
    let first = published(store, ann, 102, Visibility::Nda, at(0)).await?.id;
    let second = published(store, ann, 103, Visibility::Nda, at(0)).await?.id;
    let third = published(store, ann, 104, Visibility::Nda, at(0)).await?.id;
    let old = published(store, ann, 105, Visibility::Public, at(0))
        .await?
        .id;
    let gone = published(store, ann, 106, Visibility::Public, at(0))
        .await?
        .id;
    let other = published(store, &cast.bob, 107, Visibility::Nda, at(0))
        .await?
        .id;
    for user in [&cast.ida, &cast.ivo, &cast.bob] {
        done(store.follow(user, ann.id, at(1)).await?);
    }
    for pitch in [first, second, third, other] {
        requested(store, &cast.ida, pitch.0.as_u128(), pitch, at(1)).await?;
    }
    let nda: NdaId = id(0xA000 + 103);
    done(
        store
            .step_nda(ann, nda, &any, approve(None), &origin(), at(2))
            .await?,
    );
    for pitch in [first, second, other] {
        expressed(store, &cast.ivo, pitch.0.as_u128(), pitch, at(1)).await?;
    }
    expressed(store, &cast.pia, 1, first, at(1)).await?;
    let steps = [
        (id::<InterestId>(0xB000 + 102), InterestAction::Accept),
        (id(0xB001), InterestAction::Decline),
    ];
    for (interest, action) in steps {
        done(
            store
                .step_interest(ann, interest, &any, action, &origin(), at(2))
                .await?,
        );
    }
    for pitch in [first, old, gone, other] {
        done(store.save_pitch(&cast.ida, pitch, at(3)).await?);
        done(store.save_pitch(&cast.ivo, pitch, at(3)).await?);
    }
    let view = |pitch, viewer, days| View {
        pitch,
        viewer: [viewer; 16],
        at: now - Duration::days(days),
    };
    let views = [
        view(first, 1, 0),
        view(first, 2, 1),
        view(second, 1, 6),
        view(first, 1, 8),
        view(gone, 1, 0),
        view(other, 1, 0),
    ];
    assert_eq!(store.record_views(&views).await?, 6);
    stepped(store, ann, old, PitchAction::Archive, at(4)).await?;
    done(
        store
            .delete_pitch(ann, gone, &any, &origin(), at(4))
            .await?,
    );

    let figures = store.creator_figures(ann.id).await?;
    let counts = (figures.drafts, figures.published, figures.archived);
    assert_eq!(counts, (2, 3, 1), "before any refresh");
    let counts = (
        figures.followers,
        figures.ndas_waiting,
        figures.interests_waiting,
    );
    assert_eq!(counts, (3, 2, 1), "before any refresh");
    harness.refresh().await;
    let expected = CreatorFigures {
        drafts: 2,
        published: 3,
        archived: 1,
        followers: 3,
        ndas_waiting: 2,
        interests_waiting: 1,
        views: 4,
        views_7d: 3,
        saves: 4,
        ndas_requested: 3,
        ndas_approved: 1,
        interests: 2,
    };
    assert_eq!(store.creator_figures(ann.id).await?, expected);
    Ok(())
}

/// An approval counts as long as it holds; nobody else's counts.
pub async fn investors_have_figures(harness: impl Harness) -> Result {
    let store = harness.store();
    let cast = cast(&harness).await;
    let (ida, any) = (&cast.ida, Expected::Any);
    let none = InvestorFigures::default();
    assert_eq!(store.investor_figures(ida.id, at(0)).await?, none);
    let mut pitches = Vec::new();
    for n in 1..=5 {
        let pitch = published(store, &cast.ann, 100 + n, Visibility::Nda, at(0))
            .await?
            .id;
        pitches.push(pitch);
        for (user, offset) in [(ida, 0), (&cast.ivo, 10)] {
            done(store.save_pitch(user, pitch, at(1)).await?);
            requested(store, user, offset + n, pitch, at(1)).await?;
            expressed(store, user, offset + n, pitch, at(1)).await?;
        }
    }
    store.unsave_pitch(ida.id, pitches[0]).await?;
    done(store.follow(ida, cast.ann.id, at(1)).await?);
    done(store.follow(ida, cast.bob.id, at(1)).await?);
    done(store.follow(&cast.ivo, cast.ann.id, at(1)).await?);
    for (n, expires) in [(1, at(10)), (2, at(20))] {
        let nda: NdaId = id(0xA000 + n);
        let step = approve(Some(expires));
        done(
            store
                .step_nda(&cast.ann, nda, &any, step, &origin(), at(2))
                .await?,
        );
    }
    for (n, action) in [(1, InterestAction::Accept), (2, InterestAction::Decline)] {
        let interest: InterestId = id(0xB000 + n);
        done(
            store
                .step_interest(&cast.ann, interest, &any, action, &origin(), at(2))
                .await?,
        );
    }
    let expected = InvestorFigures {
        saved: 4,
        following: 2,
        ndas_waiting: 3,
        ndas_approved: 2,
        interests_waiting: 3,
        interests_accepted: 1,
    };
    assert_eq!(store.investor_figures(ida.id, at(9)).await?, expected);
    let later = InvestorFigures {
        ndas_approved: 1,
        ..expected
    };
    assert_eq!(store.investor_figures(ida.id, at(10)).await?, later);
    Ok(())
}
