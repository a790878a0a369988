//! What a change brings about beside itself, and doing a request once.

use super::{State, micros};
use crate::accounts::Origin;
use crate::market::{Created, Once, StoredAnswer};
use pitchey_model::decide::{Conflict, Refusal};
use pitchey_model::event::{Audience, Audit, Effects, Event, Notice, Notification, Tag};
use pitchey_model::{NoticeKind, NotificationId, UserId};
use time::OffsetDateTime;
use uuid::Uuid;

/// What changes have brought about, in the order of the changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Cached answers that are no longer true.
    pub tags: Vec<Tag>,
    /// What those who listen are told.
    pub events: Vec<Event>,
    /// What accounts are told, and whether they have read it.
    pub notifications: Vec<(UserId, Notification)>,
    /// What the audit log keeps.
    pub audit: Vec<AuditEntry>,
}

/// An entry of the audit log, and who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// The account.
    pub by: UserId,
    /// From where.
    pub origin: Origin,
    /// When.
    pub at: OffsetDateTime,
    /// What was done.
    pub entry: Audit,
}

/// Who makes a change, from where and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made<'a> {
    pub(super) by: UserId,
    pub(super) origin: &'a Origin,
    pub(super) at: OffsetDateTime,
}

/// The answer to a request that is done once.
#[derive(Debug, Clone)]
pub(super) struct KeptAnswer {
    user: UserId,
    key: String,
    request_hash: [u8; 32],
    answer: StoredAnswer,
    expires_at: OffsetDateTime,
}

impl State {
    pub(super) fn record(&mut self, effects: Effects, made: Made<'_>) {
        self.recorded.tags.extend(effects.tags);
        self.recorded.events.extend(effects.events);
        for (audience, kind, notice) in effects.notices {
            match audience {
                Audience::User(user) => self.notify(user, kind, notice, made.at),
                Audience::FollowersOf(followed) => {
                    for follower in self.newest_followers(followed) {
                        self.notify(follower, kind, notice.clone(), made.at);
                    }
                }
            }
        }
        let audit = effects.audit.into_iter().map(|entry| AuditEntry {
            by: made.by,
            origin: made.origin.clone(),
            at: made.at,
            entry,
        });
        self.recorded.audit.extend(audit);
    }

    fn notify(&mut self, user: UserId, kind: NoticeKind, notice: Notice, at: OffsetDateTime) {
        // Ids that ascend with time, as version 7 does.
        let number = (self.notifications.len() + 1) as u128;
        let id = NotificationId(Uuid::from_u128(0xA0 << 120 | number));
        self.recorded.events.push(Event::Notified {
            user_id: user,
            notification_id: id,
            notice: kind,
        });
        let notification = Notification {
            id,
            kind,
            notice,
            created_at: at,
            read_at: None,
        };
        self.notifications.push((user, notification));
    }

    /// Does `work` unless a request with this key was done before, and then keeps its answer. A refusal is
    /// not kept.
    pub(super) fn once<T>(
        &mut self,
        user: UserId,
        once: Option<Once<T>>,
        now: OffsetDateTime,
        work: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<Created<T>, Refusal> {
        let Some(once) = once else {
            return work(self).map(Created::New);
        };
        if self.held_keys.contains(&(user, once.key.clone())) {
            return Err(Conflict::KeyInFlight.into());
        }
        let before = self
            .answers
            .iter()
            .find(|kept| kept.user == user && kept.key == once.key && now < kept.expires_at);
        if let Some(before) = before {
            return if before.request_hash == once.request_hash {
                Ok(Created::Before(before.answer.clone()))
            } else {
                Err(Refusal::KeyReused)
            };
        }
        let done = work(self)?;
        self.answers
            .retain(|kept| !(kept.user == user && kept.key == once.key));
        self.answers.push(KeptAnswer {
            user,
            answer: (once.answer)(&done),
            key: once.key,
            request_hash: once.request_hash,
            expires_at: micros(once.expires_at),
        });
        Ok(Created::New(done))
    }
}
