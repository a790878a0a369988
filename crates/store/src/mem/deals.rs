//! NDAs and interests.

use super::effects::Made;
use super::paging::page_by_time;
use super::{State, count, micros};
use crate::market::InvestorFigures;
use pitchey_model::decide::{self, Expected, NdaStep, Refusal};
use pitchey_model::lifecycle::InterestAction;
use pitchey_model::{
    Actor, Interest, InterestId, InterestStatus, Nda, NdaId, NdaStatus, NewInterest, NewNda, Page,
    PitchId, Position, Side, UserId,
};
use time::OffsetDateTime;

impl State {
    /// With the names and the title of now.
    fn whole_nda(&self, nda: &Nda) -> Nda {
        Nda {
            pitch_title: self.title(nda.pitch).unwrap_or_default(),
            requester: self.person(&nda.requester),
            creator: self.person(&nda.creator),
            ..nda.clone()
        }
    }

    pub(super) fn live_nda(&self, pitch: PitchId, requester: UserId) -> Option<Nda> {
        self.ndas
            .iter()
            .find(|nda| {
                nda.pitch == pitch
                    && nda.requester.id == requester
                    && matches!(nda.status, NdaStatus::Requested | NdaStatus::Approved)
            })
            .map(|nda| self.whole_nda(nda))
    }

    fn put_nda(&mut self, nda: Nda) {
        match self.ndas.iter_mut().find(|stored| stored.id == nda.id) {
            Some(stored) => *stored = nda,
            None => self.ndas.push(nda),
        }
    }

    pub(super) fn request_nda(
        &mut self,
        actor: &Actor,
        new: NewNda,
        made: Made<'_>,
    ) -> Result<Nda, Refusal> {
        let pitch = self.pitch(new.pitch).ok_or(Refusal::NotFound)?;
        let live = self.live_nda(pitch.id, actor.id);
        let ((nda, expired), effects) =
            decide::request_nda(actor, &pitch, live.as_ref(), new, made.at)?;
        if let Some(expired) = expired {
            self.put_nda(expired);
        }
        self.put_nda(nda.clone());
        self.record(effects, made);
        Ok(nda)
    }

    pub(super) fn nda(&self, id: NdaId) -> Option<Nda> {
        let nda = self.ndas.iter().find(|nda| nda.id == id)?;
        Some(self.whole_nda(nda))
    }

    pub(super) fn step_nda(
        &mut self,
        actor: &Actor,
        id: NdaId,
        expected: &Expected,
        step: NdaStep,
        made: Made<'_>,
    ) -> Result<Nda, Refusal> {
        let before = self.nda(id).ok_or(Refusal::NotFound)?;
        let step = NdaStep {
            expires_at: step.expires_at.map(micros),
            ..step
        };
        let (after, effects) = decide::step_nda(actor, &before, expected, step, made.at)?;
        self.put_nda(after.clone());
        self.record(effects, made);
        Ok(after)
    }

    pub(super) fn ndas(
        &self,
        user: UserId,
        side: Side,
        after: Option<Position>,
        limit: u32,
    ) -> Page<Nda> {
        let on_side = self.ndas.iter().filter(|nda| match side {
            Side::Outgoing => nda.requester.id == user,
            Side::Incoming => nda.creator.id == user,
        });
        let whole = on_side.map(|nda| self.whole_nda(nda));
        page_by_time(whole, after, limit, |nda| (nda.created_at, nda.id.0))
    }

    /// With the names and the title of now.
    fn whole_interest(&self, interest: &Interest) -> Interest {
        Interest {
            pitch_title: self.title(interest.pitch).unwrap_or_default(),
            investor: self.person(&interest.investor),
            creator: self.person(&interest.creator),
            ..interest.clone()
        }
    }

    fn live_interest(&self, pitch: PitchId, investor: UserId) -> Option<Interest> {
        self.interests
            .iter()
            .find(|interest| {
                interest.pitch == pitch
                    && interest.investor.id == investor
                    && matches!(
                        interest.status,
                        InterestStatus::Expressed | InterestStatus::Accepted
                    )
            })
            .map(|interest| self.whole_interest(interest))
    }

    pub(super) fn express_interest(
        &mut self,
        actor: &Actor,
        new: NewInterest,
        made: Made<'_>,
    ) -> Result<Interest, Refusal> {
        let pitch = self.pitch(new.pitch).ok_or(Refusal::NotFound)?;
        let live = self.live_interest(pitch.id, actor.id);
        let (interest, effects) =
            decide::express_interest(actor, &pitch, live.as_ref(), new, made.at)?;
        self.interests.push(interest.clone());
        self.record(effects, made);
        Ok(interest)
    }

    pub(super) fn interest(&self, id: InterestId) -> Option<Interest> {
        let interest = self.interests.iter().find(|interest| interest.id == id)?;
        Some(self.whole_interest(interest))
    }

    pub(super) fn step_interest(
        &mut self,
        actor: &Actor,
        id: InterestId,
        expected: &Expected,
        action: InterestAction,
        made: Made<'_>,
    ) -> Result<Interest, Refusal> {
        let before = self.interest(id).ok_or(Refusal::NotFound)?;
        let (after, effects) = decide::step_interest(actor, &before, expected, action, made.at)?;
        if let Some(stored) = self.interests.iter_mut().find(|stored| stored.id == id) {
            *stored = after.clone();
        }
        self.record(effects, made);
        Ok(after)
    }

    pub(super) fn interests(
        &self,
        user: UserId,
        side: Side,
        after: Option<Position>,
        limit: u32,
    ) -> Page<Interest> {
        let on_side = self.interests.iter().filter(|interest| match side {
            Side::Outgoing => interest.investor.id == user,
            Side::Incoming => interest.creator.id == user,
        });
        let whole = on_side.map(|interest| self.whole_interest(interest));
        page_by_time(whole, after, limit, |interest| {
            (interest.created_at, interest.id.0)
        })
    }

    pub(super) fn investor_figures(&self, user: UserId, now: OffsetDateTime) -> InvestorFigures {
        let ndas = || self.ndas.iter().filter(|nda| nda.requester.id == user);
        let waiting = ndas().filter(|nda| nda.status == NdaStatus::Requested);
        let interests = |status| {
            let own = self
                .interests
                .iter()
                .filter(|interest| interest.investor.id == user && interest.status == status);
            count(own.count())
        };
        InvestorFigures {
            saved: count(self.saves.iter().filter(|save| save.user == user).count()),
            following: count(
                self.follows
                    .iter()
                    .filter(|follow| follow.follower == user)
                    .count(),
            ),
            ndas_waiting: count(waiting.count()),
            ndas_approved: count(ndas().filter(|nda| nda.holds(now)).count()),
            interests_waiting: interests(InterestStatus::Expressed),
            interests_accepted: interests(InterestStatus::Accepted),
        }
    }
}
