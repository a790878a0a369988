//! What signed-in people do, over PostgreSQL: one file for each kind of thing.
//!
//! A write takes its locks in one order: the pitch, the NDA or interest, the rest.

mod figures;
mod follows;
mod interests;
mod ndas;
mod notifications;
mod pitches;
mod rows;
mod saved;

pub(crate) use pitches::{lock_pitch, write_pitch};

use crate::PgStore;
use crate::effects::{Made, answered_before, keep_answer};
use crate::tx::{Abort, Tx};
use pitchey_model::decide::{Expected, NdaStep};
use pitchey_model::event::Notification;
use pitchey_model::lifecycle::{InterestAction, PitchAction};
use pitchey_model::{
    Actor, Interest, InterestId, Nda, NdaId, NewInterest, NewNda, NotificationId, Page, Pitch,
    PitchChange, PitchContent, PitchId, Position, Side, UserId,
};
use pitchey_store::accounts::Origin;
use pitchey_store::market::{
    Created, CreatorFigures, Followed, FullPitch, InvestorFigures, Once, Outcome, Saved,
};
use pitchey_store::{Market, StoreError};
use time::OffsetDateTime;

impl<'a> Made<'a> {
    fn by(actor: &Actor, origin: &'a Origin, at: OffsetDateTime) -> Self {
        Self {
            by: Some(actor.id),
            origin,
            at,
        }
    }
}

/// The database keeps microseconds: what is answered is what will be read.
fn micros(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(at.nanosecond() / 1000 * 1000)
        .unwrap_or(at)
}

impl PgStore {
    /// Runs `work` in a transaction, unless a request with the same key was done before: its answer then.
    async fn run_once<T, F, Fut>(
        &self,
        name: &'static str,
        actor: &Actor,
        once: Option<&Once<T>>,
        now: OffsetDateTime,
        work: F,
    ) -> Outcome<Created<T>>
    where
        F: Fn(Tx) -> Fut,
        Fut: Future<Output = Result<(Tx, T), Abort>>,
    {
        let work = &work;
        self.run_tx(name, |mut tx| async move {
            let Some(once) = once else {
                let (tx, done) = work(tx).await?;
                return Ok((tx, Created::New(done)));
            };
            if let Some(answer) = answered_before(&mut tx, actor.id, once, now).await? {
                return Ok((tx, Created::Before(answer)));
            }
            let (mut tx, done) = work(tx).await?;
            keep_answer(&mut tx, actor.id, once, &done, now).await?;
            Ok((tx, Created::New(done)))
        })
        .await
    }
}

impl Market for PgStore {
    async fn full_pitch(
        &self,
        id: PitchId,
        reader: Option<UserId>,
    ) -> Result<Option<FullPitch>, StoreError> {
        self.whole_pitch(id, reader).await
    }

    async fn own_pitches(
        &self,
        creator: UserId,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<Pitch>, StoreError> {
        self.pitches_of(creator, after, limit).await
    }

    async fn create_pitch(
        &self,
        actor: &Actor,
        id: PitchId,
        content: PitchContent,
        once: Option<Once<Pitch>>,
        now: OffsetDateTime,
    ) -> Outcome<Created<Pitch>> {
        self.begin_pitch(actor, id, &content, once.as_ref(), micros(now))
            .await
    }

    async fn edit_pitch(
        &self,
        actor: &Actor,
        id: PitchId,
        expected: &Expected,
        change: PitchChange,
        now: OffsetDateTime,
    ) -> Outcome<Pitch> {
        self.rewrite_pitch(actor, id, expected, &change, micros(now))
            .await
    }

    async fn step_pitch(
        &self,
        actor: &Actor,
        id: PitchId,
        expected: &Expected,
        action: PitchAction,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Outcome<Pitch> {
        self.move_pitch(actor, id, expected, action, origin, micros(now))
            .await
    }

    async fn delete_pitch(
        &self,
        actor: &Actor,
        id: PitchId,
        expected: &Expected,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Outcome<()> {
        self.remove_pitch(actor, id, expected, origin, now).await
    }

    async fn request_nda(
        &self,
        actor: &Actor,
        new: NewNda,
        once: Option<Once<Nda>>,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Outcome<Created<Nda>> {
        self.ask_for_nda(actor, &new, once.as_ref(), origin, micros(now))
            .await
    }

    async fn nda(&self, id: NdaId) -> Result<Option<Nda>, StoreError> {
        self.one_nda(id).await
    }

    async fn step_nda(
        &self,
        actor: &Actor,
        id: NdaId,
        expected: &Expected,
        step: NdaStep,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Outcome<Nda> {
        let step = NdaStep {
            expires_at: step.expires_at.map(micros),
            ..step
        };
        self.move_nda(actor, id, expected, &step, origin, micros(now))
            .await
    }

    async fn ndas(
        &self,
        user: UserId,
        side: Side,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<Nda>, StoreError> {
        self.ndas_of(user, side, after, limit).await
    }

    async fn express_interest(
        &self,
        actor: &Actor,
        new: NewInterest,
        once: Option<Once<Interest>>,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Outcome<Created<Interest>> {
        self.begin_interest(actor, &new, once.as_ref(), origin, micros(now))
            .await
    }

    async fn interest(&self, id: InterestId) -> Result<Option<Interest>, StoreError> {
        self.one_interest(id).await
    }

    async fn step_interest(
        &self,
        actor: &Actor,
        id: InterestId,
        expected: &Expected,
        action: InterestAction,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Outcome<Interest> {
        self.move_interest(actor, id, expected, action, origin, micros(now))
            .await
    }

    async fn interests(
        &self,
        user: UserId,
        side: Side,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<Interest>, StoreError> {
        self.interests_of(user, side, after, limit).await
    }

    async fn save_pitch(&self, actor: &Actor, id: PitchId, now: OffsetDateTime) -> Outcome<()> {
        self.keep_pitch(actor, id, now).await
    }

    async fn unsave_pitch(&self, user: UserId, id: PitchId) -> Result<(), StoreError> {
        self.forget_pitch(user, id).await
    }

    async fn saved(
        &self,
        user: UserId,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<Saved>, StoreError> {
        self.saved_by(user, after, limit).await
    }

    async fn follow(&self, actor: &Actor, followed: UserId, now: OffsetDateTime) -> Outcome<()> {
        self.begin_to_follow(actor, followed, now).await
    }

    async fn unfollow(&self, actor: &Actor, followed: UserId) -> Result<(), StoreError> {
        self.stop_following(actor, followed).await
    }

    async fn following(
        &self,
        user: UserId,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<Followed>, StoreError> {
        self.followed_by(user, after, limit).await
    }

    async fn notifications(
        &self,
        user: UserId,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<Notification>, StoreError> {
        self.told(user, after, limit).await
    }

    async fn unread_notifications(&self, user: UserId) -> Result<i64, StoreError> {
        self.unread(user).await
    }

    async fn read_notifications(
        &self,
        user: UserId,
        ids: Option<&[NotificationId]>,
        now: OffsetDateTime,
    ) -> Result<u64, StoreError> {
        match ids {
            Some(ids) => self.mark_read(user, ids, now).await,
            None => self.mark_all_read(user, now).await,
        }
    }

    async fn creator_figures(&self, user: UserId) -> Result<CreatorFigures, StoreError> {
        self.figures_of_creator(user).await
    }

    async fn investor_figures(
        &self,
        user: UserId,
        now: OffsetDateTime,
    ) -> Result<InvestorFigures, StoreError> {
        self.figures_of_investor(user, now).await
    }
}
