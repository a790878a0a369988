//! Saved pitches, follows and notifications.

use super::paging::page_by_time;
use super::pitches::quietly;
use super::{State, count};
use crate::market::{Followed, Saved};
use pitchey_model::decide::{self, Refusal};
use pitchey_model::event::{Audience, Notification};
use pitchey_model::{Actor, NotificationId, Page, Person, PitchId, Position, UserId};
use std::cmp::Reverse;
use time::OffsetDateTime;

#[derive(Debug, Clone)]
pub(super) struct Save {
    pub(super) user: UserId,
    pub(super) pitch: PitchId,
    at: OffsetDateTime,
}

#[derive(Debug, Clone)]
pub(super) struct Follow {
    pub(super) follower: UserId,
    followed: UserId,
    at: OffsetDateTime,
}

/// Where the counting of followers stops.
const MAX_COUNTED: i64 = 10_000;
/// Where the counting of unread notifications stops.
const MAX_UNREAD: i64 = 100;

impl State {
    pub(super) fn save_pitch(
        &mut self,
        actor: &Actor,
        id: PitchId,
        now: OffsetDateTime,
    ) -> Result<(), Refusal> {
        let pitch = self.pitch(id).ok_or(Refusal::NotFound)?;
        decide::save(actor, &pitch)?;
        let mut saves = self.saves.iter();
        if !saves.any(|save| save.user == actor.id && save.pitch == id) {
            self.saves.push(Save {
                user: actor.id,
                pitch: id,
                at: now,
            });
        }
        Ok(())
    }

    pub(super) fn unsave_pitch(&mut self, user: UserId, id: PitchId) {
        self.saves
            .retain(|save| !(save.user == user && save.pitch == id));
    }

    pub(super) fn saved(&self, user: UserId, after: Option<Position>, limit: u32) -> Page<Saved> {
        let listed: Vec<_> = self.listed().map(|(_, detail)| detail.card).collect();
        let saved = self.saves.iter().filter(|save| save.user == user);
        let shown = saved.filter_map(|save| {
            let card = listed.iter().find(|card| card.id == save.pitch)?.clone();
            Some(Saved {
                card,
                saved_at: save.at,
            })
        });
        page_by_time(shown, after, limit, |saved| {
            (saved.saved_at, saved.card.id.0)
        })
    }

    pub(super) fn follow(
        &mut self,
        actor: &Actor,
        followed: UserId,
        now: OffsetDateTime,
    ) -> Result<(), Refusal> {
        let effects = decide::follow(actor, followed)?;
        if self.user(followed).is_none() {
            return Err(Refusal::NotFound);
        }
        if self.follows(actor.id, followed) {
            return Ok(());
        }
        self.follows.push(Follow {
            follower: actor.id,
            followed,
            at: now,
        });
        self.record(effects, quietly(actor, now));
        Ok(())
    }

    fn follows(&self, follower: UserId, followed: UserId) -> bool {
        self.follows
            .iter()
            .any(|follow| follow.follower == follower && follow.followed == followed)
    }

    pub(super) fn unfollow(&mut self, actor: &Actor, followed: UserId) {
        if !self.follows(actor.id, followed) {
            return;
        }
        self.follows
            .retain(|follow| !(follow.follower == actor.id && follow.followed == followed));
        // Nobody is told, so the moment does not matter.
        let at = OffsetDateTime::UNIX_EPOCH;
        self.record(decide::unfollow(followed), quietly(actor, at));
    }

    pub(super) fn following(
        &self,
        user: UserId,
        after: Option<Position>,
        limit: u32,
    ) -> Page<Followed> {
        let own = self.follows.iter().filter(|follow| follow.follower == user);
        let known = own.filter_map(|follow| {
            let profile = &self.user(follow.followed)?.profile;
            Some(Followed {
                person: Person {
                    id: profile.id,
                    username: profile.username.clone(),
                    display_name: profile.display_name.clone(),
                },
                followed_at: follow.at,
            })
        });
        page_by_time(known, after, limit, |followed| {
            (followed.followed_at, followed.person.id.0)
        })
    }

    pub(super) fn follower_count(&self, user: UserId) -> i64 {
        let followers = self.follows.iter().filter(|follow| follow.followed == user);
        count(followers.count()).min(MAX_COUNTED)
    }

    pub(super) fn newest_followers(&self, followed: UserId) -> Vec<UserId> {
        let mut followers: Vec<_> = self
            .follows
            .iter()
            .filter(|follow| follow.followed == followed)
            .map(|follow| Reverse((follow.at, follow.follower)))
            .collect();
        followers.sort();
        followers.truncate(Audience::MAX_FOLLOWERS.try_into().unwrap_or(usize::MAX));
        followers
            .into_iter()
            .map(|Reverse((_, follower))| follower)
            .collect()
    }

    pub(super) fn notifications(
        &self,
        user: UserId,
        after: Option<Position>,
        limit: u32,
    ) -> Page<Notification> {
        let own = self
            .notifications
            .iter()
            .filter(|(whose, _)| *whose == user);
        let own = own.map(|(_, notification)| notification.clone());
        page_by_time(own, after, limit, |notification| {
            (notification.created_at, notification.id.0)
        })
    }

    pub(super) fn unread_notifications(&self, user: UserId) -> i64 {
        let unread = self
            .notifications
            .iter()
            .filter(|(whose, notification)| *whose == user && notification.read_at.is_none());
        count(unread.count()).min(MAX_UNREAD)
    }

    pub(super) fn read_notifications(
        &mut self,
        user: UserId,
        ids: Option<&[NotificationId]>,
        now: OffsetDateTime,
    ) -> u64 {
        let mut read = 0;
        for (whose, notification) in &mut self.notifications {
            let meant = ids.is_none_or(|ids| ids.contains(&notification.id));
            if *whose == user && meant && notification.read_at.is_none() {
                notification.read_at = Some(now);
                read += 1;
            }
        }
        read
    }
}
