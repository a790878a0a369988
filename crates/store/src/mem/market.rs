//! The port for what signed-in people do; the work is done in the files of each kind of thing.

use super::effects::Made;
use super::{MemStore, micros};
use crate::StoreError;
use crate::accounts::Origin;
use crate::market::{
    Created, CreatorFigures, Followed, FullPitch, InvestorFigures, Market, Once, Outcome, Saved,
};
use pitchey_model::decide::{Expected, NdaStep};
use pitchey_model::event::Notification;
use pitchey_model::lifecycle::{InterestAction, PitchAction};
use pitchey_model::{
    Actor, Interest, InterestId, Nda, NdaId, NewInterest, NewNda, NotificationId, Page, Pitch,
    PitchChange, PitchContent, PitchId, Position, Side, UserId,
};
use time::OffsetDateTime;

fn made<'a>(actor: &Actor, origin: &'a Origin, at: OffsetDateTime) -> Made<'a> {
    Made {
        by: actor.id,
        origin,
        at,
    }
}

impl Market for MemStore {
    async fn full_pitch(
        &self,
        id: PitchId,
        reader: Option<UserId>,
    ) -> Result<Option<FullPitch>, StoreError> {
        Ok(self.up()?.full_pitch(id, reader))
    }

    async fn own_pitches(
        &self,
        creator: UserId,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<Pitch>, StoreError> {
        Ok(self.up()?.own_pitches(creator, after, limit))
    }

    async fn create_pitch(
        &self,
        actor: &Actor,
        id: PitchId,
        content: PitchContent,
        once: Option<Once<Pitch>>,
        now: OffsetDateTime,
    ) -> Outcome<Created<Pitch>> {
        let (mut state, now) = self.change(now)?;
        Ok(state.once(actor.id, once, now, |state| {
            state.create_pitch(actor, id, content, now)
        }))
    }

    async fn edit_pitch(
        &self,
        actor: &Actor,
        id: PitchId,
        expected: &Expected,
        change: PitchChange,
        now: OffsetDateTime,
    ) -> Outcome<Pitch> {
        let (mut state, now) = self.change(now)?;
        Ok(state.edit_pitch(actor, id, expected, change, now))
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
        let (mut state, now) = self.change(now)?;
        Ok(state.step_pitch(actor, id, expected, action, made(actor, origin, now)))
    }

    async fn delete_pitch(
        &self,
        actor: &Actor,
        id: PitchId,
        expected: &Expected,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Outcome<()> {
        let (mut state, now) = self.change(now)?;
        Ok(state.delete_pitch(actor, id, expected, made(actor, origin, now)))
    }

    async fn request_nda(
        &self,
        actor: &Actor,
        new: NewNda,
        once: Option<Once<Nda>>,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Outcome<Created<Nda>> {
        let (mut state, now) = self.change(now)?;
        Ok(state.once(actor.id, once, now, |state| {
            state.request_nda(actor, new, made(actor, origin, now))
        }))
    }

    async fn nda(&self, id: NdaId) -> Result<Option<Nda>, StoreError> {
        Ok(self.up()?.nda(id))
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
        let (mut state, now) = self.change(now)?;
        Ok(state.step_nda(actor, id, expected, step, made(actor, origin, now)))
    }

    async fn ndas(
        &self,
        user: UserId,
        side: Side,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<Nda>, StoreError> {
        Ok(self.up()?.ndas(user, side, after, limit))
    }

    async fn express_interest(
        &self,
        actor: &Actor,
        new: NewInterest,
        once: Option<Once<Interest>>,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Outcome<Created<Interest>> {
        let (mut state, now) = self.change(now)?;
        Ok(state.once(actor.id, once, now, |state| {
            state.express_interest(actor, new, made(actor, origin, now))
        }))
    }

    async fn interest(&self, id: InterestId) -> Result<Option<Interest>, StoreError> {
        Ok(self.up()?.interest(id))
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
        let (mut state, now) = self.change(now)?;
        Ok(state.step_interest(actor, id, expected, action, made(actor, origin, now)))
    }

    async fn interests(
        &self,
        user: UserId,
        side: Side,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<Interest>, StoreError> {
        Ok(self.up()?.interests(user, side, after, limit))
    }

    async fn save_pitch(&self, actor: &Actor, id: PitchId, now: OffsetDateTime) -> Outcome<()> {
        let (mut state, now) = self.change(now)?;
        Ok(state.save_pitch(actor, id, now))
    }

    async fn unsave_pitch(&self, user: UserId, id: PitchId) -> Result<(), StoreError> {
        self.up()?.unsave_pitch(user, id);
        Ok(())
    }

    async fn saved(
        &self,
        user: UserId,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<Saved>, StoreError> {
        Ok(self.up()?.saved(user, after, limit))
    }

    async fn follow(&self, actor: &Actor, followed: UserId, now: OffsetDateTime) -> Outcome<()> {
        let (mut state, now) = self.change(now)?;
        Ok(state.follow(actor, followed, now))
    }

    async fn unfollow(&self, actor: &Actor, followed: UserId) -> Result<(), StoreError> {
        self.up()?.unfollow(actor, followed);
        Ok(())
    }

    async fn following(
        &self,
        user: UserId,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<Followed>, StoreError> {
        Ok(self.up()?.following(user, after, limit))
    }

    async fn notifications(
        &self,
        user: UserId,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Page<Notification>, StoreError> {
        Ok(self.up()?.notifications(user, after, limit))
    }

    async fn unread_notifications(&self, user: UserId) -> Result<i64, StoreError> {
        Ok(self.up()?.unread_notifications(user))
    }

    async fn read_notifications(
        &self,
        user: UserId,
        ids: Option<&[NotificationId]>,
        now: OffsetDateTime,
    ) -> Result<u64, StoreError> {
        let (mut state, now) = self.change(now)?;
        Ok(state.read_notifications(user, ids, now))
    }

    async fn creator_figures(&self, user: UserId) -> Result<CreatorFigures, StoreError> {
        Ok(self.up()?.creator_figures(user))
    }

    async fn investor_figures(
        &self,
        user: UserId,
        now: OffsetDateTime,
    ) -> Result<InvestorFigures, StoreError> {
        Ok(self.up()?.investor_figures(user, micros(now)))
    }
}
