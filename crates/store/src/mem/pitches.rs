//! The life of a pitch.

use super::effects::Made;
use super::paging::page_by_time;
use super::{State, count};
use crate::accounts::Origin;
use crate::market::{CreatorFigures, FullPitch};
use pitchey_model::decide::{self, Expected, Refusal};
use pitchey_model::lifecycle::PitchAction;
use pitchey_model::{
    Actor, InterestStatus, NdaStatus, Page, Person, Pitch, PitchCard, PitchChange, PitchContent,
    PitchDetail, PitchId, PitchStatus, Position, UserId, Visibility,
};
use time::{Duration, OffsetDateTime};

#[derive(Debug, Clone)]
pub(super) struct PitchRow {
    pub(super) pitch: Pitch,
    pub(super) trending_score: f64,
    pub(super) deleted: bool,
}

impl PitchRow {
    pub(super) fn new(pitch: Pitch) -> Self {
        Self {
            pitch,
            trending_score: 0.0,
            deleted: false,
        }
    }

    /// Since when it is on the site.
    fn listed_since(&self) -> Option<OffsetDateTime> {
        let Pitch {
            status, content, ..
        } = &self.pitch;
        let listed = *status == PitchStatus::Published
            && content.visibility != Visibility::Private
            && !self.deleted;
        self.pitch.published_at.filter(|_| listed)
    }

    pub(super) fn is_listed(&self) -> bool {
        self.listed_since().is_some()
    }
}

impl State {
    /// Somebody by the names they have now.
    pub(super) fn person(&self, known: &Person) -> Person {
        self.user(known.id).map_or(known.clone(), |row| Person {
            id: known.id,
            username: row.profile.username.clone(),
            display_name: row.profile.display_name.clone(),
        })
    }

    pub(super) fn title(&self, id: PitchId) -> Option<String> {
        let row = self.pitches.iter().find(|row| row.pitch.id == id)?;
        Some(row.pitch.content.title.clone())
    }

    pub(super) fn pitch(&self, id: PitchId) -> Option<Pitch> {
        self.pitches
            .iter()
            .find(|row| row.pitch.id == id && !row.deleted)
            .map(|row| self.whole(row))
    }

    fn whole(&self, row: &PitchRow) -> Pitch {
        Pitch {
            creator: self.person(&row.pitch.creator),
            ..row.pitch.clone()
        }
    }

    /// The public part of what is on the site, with the score of each.
    pub(super) fn listed(&self) -> impl Iterator<Item = (f64, PitchDetail)> + '_ {
        self.pitches.iter().filter_map(|row| {
            let published_at = row.listed_since()?;
            // One view at the moment of its publication: what a pitch is worth that nobody has looked at.
            let base = published_at.unix_timestamp_nanos() as f64 / (3.0 * 86_400.0 * 1e9);
            let Pitch { content, .. } = &row.pitch;
            let card = PitchCard {
                id: row.pitch.id,
                title: content.title.clone(),
                logline: content.logline.clone(),
                genres: content.genres.clone(),
                format: content.format,
                stage: content.stage,
                visibility: content.visibility,
                release_year: content.release_year,
                cover: row.pitch.cover,
                creator: self.person(&row.pitch.creator),
                published_at,
                view_count: row.pitch.view_count,
            };
            let detail = PitchDetail {
                card,
                synopsis: content.synopsis.clone(),
                cast: content.cast.clone(),
                updated_at: row.pitch.updated_at,
                version: row.pitch.version,
            };
            Some((row.trending_score.max(base), detail))
        })
    }

    fn put_pitch(&mut self, pitch: Pitch, deleted: bool) {
        let place = self
            .pitches
            .iter_mut()
            .find(|row| row.pitch.id == pitch.id && !row.deleted);
        match place {
            Some(row) => (row.pitch, row.deleted) = (pitch, deleted),
            None => self.pitches.push(PitchRow::new(pitch)),
        }
    }

    pub(super) fn full_pitch(&self, id: PitchId, reader: Option<UserId>) -> Option<FullPitch> {
        let pitch = self.pitch(id)?;
        let nda = reader.and_then(|reader| self.live_nda(id, reader));
        Some(FullPitch { pitch, nda })
    }

    pub(super) fn own_pitches(
        &self,
        creator: UserId,
        after: Option<Position>,
        limit: u32,
    ) -> Page<Pitch> {
        let own = self
            .pitches
            .iter()
            .filter(|row| row.pitch.creator.id == creator && !row.deleted)
            .map(|row| self.whole(row));
        page_by_time(own, after, limit, |pitch| (pitch.updated_at, pitch.id.0))
    }

    pub(super) fn create_pitch(
        &mut self,
        actor: &Actor,
        id: PitchId,
        content: PitchContent,
        now: OffsetDateTime,
    ) -> Result<Pitch, Refusal> {
        let (pitch, effects) = decide::create_pitch(actor, id, content, now)?;
        self.put_pitch(pitch.clone(), false);
        self.record(effects, quietly(actor, now));
        Ok(pitch)
    }

    pub(super) fn edit_pitch(
        &mut self,
        actor: &Actor,
        id: PitchId,
        expected: &Expected,
        change: PitchChange,
        now: OffsetDateTime,
    ) -> Result<Pitch, Refusal> {
        let before = self.pitch(id).ok_or(Refusal::NotFound)?;
        let (after, effects) = decide::edit_pitch(actor, &before, expected, change, now)?;
        self.put_pitch(after.clone(), false);
        self.record(effects, quietly(actor, now));
        Ok(after)
    }

    pub(super) fn step_pitch(
        &mut self,
        actor: &Actor,
        id: PitchId,
        expected: &Expected,
        action: PitchAction,
        made: Made<'_>,
    ) -> Result<Pitch, Refusal> {
        let before = self.pitch(id).ok_or(Refusal::NotFound)?;
        let (after, effects) = decide::step_pitch(actor, &before, expected, action, made.at)?;
        self.put_pitch(after.clone(), false);
        self.record(effects, made);
        Ok(after)
    }

    pub(super) fn delete_pitch(
        &mut self,
        actor: &Actor,
        id: PitchId,
        expected: &Expected,
        made: Made<'_>,
    ) -> Result<(), Refusal> {
        let before = self.pitch(id).ok_or(Refusal::NotFound)?;
        let (after, effects) = decide::delete_pitch(actor, &before, expected, made.at)?;
        self.put_pitch(after, true);
        self.record(effects, made);
        Ok(())
    }

    pub(super) fn creator_figures(&self, user: UserId) -> CreatorFigures {
        let own: Vec<&Pitch> = self
            .pitches
            .iter()
            .filter(|row| row.pitch.creator.id == user && !row.deleted)
            .map(|row| &row.pitch)
            .collect();
        let is_own = |id: PitchId| own.iter().any(|pitch| pitch.id == id);
        let with = |status| count(own.iter().filter(|pitch| pitch.status == status).count());
        let ndas: Vec<_> = self.ndas.iter().filter(|nda| is_own(nda.pitch)).collect();
        let week = self.latest.map(|latest| latest - Duration::days(7));
        let views = || self.views.iter().filter(|view| is_own(view.pitch));
        let live = [InterestStatus::Expressed, InterestStatus::Accepted];
        CreatorFigures {
            drafts: with(PitchStatus::Draft),
            published: with(PitchStatus::Published),
            archived: with(PitchStatus::Archived),
            followers: self.follower_count(user),
            ndas_waiting: count(
                self.ndas
                    .iter()
                    .filter(|nda| nda.creator.id == user && nda.status == NdaStatus::Requested)
                    .count(),
            ),
            interests_waiting: count(
                self.interests
                    .iter()
                    .filter(|interest| {
                        interest.creator.id == user && interest.status == InterestStatus::Expressed
                    })
                    .count(),
            ),
            views: count(views().count()),
            views_7d: count(views().filter(|view| Some(view.at) >= week).count()),
            saves: count(self.saves.iter().filter(|save| is_own(save.pitch)).count()),
            ndas_requested: count(ndas.len()),
            ndas_approved: count(
                ndas.iter()
                    .filter(|nda| nda.status == NdaStatus::Approved)
                    .count(),
            ),
            interests: count(
                self.interests
                    .iter()
                    .filter(|interest| is_own(interest.pitch) && live.contains(&interest.status))
                    .count(),
            ),
        }
    }
}

/// A change without an audit entry, for which nobody asks where it came from.
pub(super) fn quietly(actor: &Actor, at: OffsetDateTime) -> Made<'_> {
    const NOWHERE: &Origin = &Origin {
        ip: None,
        request_id: None,
    };
    Made {
        by: actor.id,
        origin: NOWHERE,
        at,
    }
}
