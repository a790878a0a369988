//! Accounts.

use super::State;
use super::effects::Made;
use super::pitches::quietly;
use super::sessions::SessionRow;
use crate::accounts::{Credentials, NewAccount, NewSession, Rehash, Taken};
use pitchey_model::decide::{Expected, Refusal};
use pitchey_model::event::{Audit, Effects, Tag};
use pitchey_model::{Account, Actor, Email, Profile, ProfileChange, ProfileText, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Debug, Clone)]
pub(super) struct UserRow {
    pub(super) profile: Profile,
    pub(super) email: Option<Email>,
    pub(super) password_hash: Option<SecretString>,
    pub(super) locked: bool,
    pub(super) deleted: bool,
    updated_at: OffsetDateTime,
}

impl UserRow {
    pub(super) fn imported(profile: Profile) -> Self {
        Self {
            updated_at: profile.created_at,
            profile,
            email: None,
            password_hash: None,
            locked: false,
            deleted: false,
        }
    }

    fn registered(new: NewAccount, now: OffsetDateTime) -> Self {
        Self {
            profile: Profile {
                id: new.id,
                username: new.username,
                display_name: new.display_name,
                role: new.role,
                bio: String::new(),
                company: String::new(),
                location: String::new(),
                website: None,
                avatar: None,
                pitch_count: 0,
                follower_count: 0,
                created_at: now,
                version: 1,
            },
            email: Some(new.email),
            password_hash: Some(new.password_hash),
            locked: false,
            deleted: false,
            updated_at: now,
        }
    }

    pub(super) fn has_password(&self, hash: &SecretString) -> bool {
        self.password_hash
            .as_ref()
            .is_some_and(|stored| stored.expose_secret() == hash.expose_secret())
    }

    pub(super) fn credentials(&self) -> Credentials {
        Credentials {
            id: self.profile.id,
            username: self.profile.username.clone(),
            display_name: self.profile.display_name.clone(),
            role: self.profile.role,
            password_hash: self.password_hash.clone(),
            locked: self.locked,
        }
    }

    pub(super) fn account(&self) -> Account {
        let profile = &self.profile;
        Account {
            id: profile.id,
            username: profile.username.clone(),
            email: self.email.clone(),
            role: profile.role,
            profile: ProfileText {
                display_name: profile.display_name.clone(),
                bio: profile.bio.clone(),
                company: profile.company.clone(),
                location: profile.location.clone(),
                website: profile.website.clone(),
            },
            avatar: profile.avatar,
            created_at: profile.created_at,
            updated_at: self.updated_at,
            version: profile.version,
        }
    }

    fn set_text(&mut self, text: ProfileText) {
        let profile = &mut self.profile;
        profile.display_name = text.display_name;
        profile.bio = text.bio;
        profile.company = text.company;
        profile.location = text.location;
        profile.website = text.website;
    }
}

impl State {
    /// An account that is not deleted.
    pub(super) fn user(&self, id: UserId) -> Option<&UserRow> {
        self.users
            .iter()
            .find(|row| row.profile.id == id && !row.deleted)
    }

    pub(super) fn user_mut(&mut self, id: UserId) -> Option<&mut UserRow> {
        self.users
            .iter_mut()
            .find(|row| row.profile.id == id && !row.deleted)
    }

    pub(super) fn register(
        &mut self,
        new: NewAccount,
        session: Option<NewSession>,
        made: Made<'_>,
    ) -> Result<(), Taken> {
        let taken = Taken {
            username: (self.users.iter()).any(|row| row.profile.username == new.username),
            email: (self.users.iter()).any(|row| row.email.as_ref() == Some(&new.email)),
        };
        if taken.username || taken.email {
            return Err(taken);
        }
        let tags = [Tag::username(&new.username)];
        self.users.push(UserRow::registered(new, made.at));
        let session =
            session.map(|session| SessionRow::new(made.by, session, made.origin.ip, made.at));
        self.sessions.extend(session);
        let effects = Effects {
            tags: tags.into(),
            ..about("account.register", "user", made.by.0)
        };
        self.record(effects, made);
        Ok(())
    }

    pub(super) fn rehash(&mut self, user: UserId, rehash: Rehash, now: OffsetDateTime) -> bool {
        let row = self.user_mut(user);
        match row.filter(|row| row.has_password(&rehash.old)) {
            Some(row) => {
                row.password_hash = Some(rehash.new);
                row.updated_at = now;
                true
            }
            None => false,
        }
    }

    pub(super) fn change_profile(
        &mut self,
        actor: &Actor,
        expected: &Expected,
        change: ProfileChange,
        now: OffsetDateTime,
    ) -> Result<Account, Refusal> {
        let row = self.user_mut(actor.id).ok_or(Refusal::NotFound)?;
        expected.check(row.profile.version)?;
        let mut text = row.account().profile;
        change.apply(&mut text);
        row.set_text(text);
        row.profile.version += 1;
        row.updated_at = now;
        let account = row.account();
        let effects = Effects {
            tags: [Tag::user(actor.id), Tag::creator(actor.id)].into(),
            ..Effects::default()
        };
        self.record(effects, quietly(actor, now));
        Ok(account)
    }
}

/// An audit entry and nothing else.
pub(super) fn about(action: &'static str, subject_kind: &'static str, subject_id: Uuid) -> Effects {
    let entry = Audit {
        action,
        subject_kind,
        subject_id,
        detail: Vec::new(),
    };
    Effects {
        audit: vec![entry],
        ..Effects::default()
    }
}
