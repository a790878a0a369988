//! Following an account, and no longer.

use super::{Refusal, notice};
use crate::event::{Audience, Effects, Tag};
use crate::{Actor, NoticeKind, UserId};

/// Somebody begins to follow an account.
pub fn follow(actor: &Actor, followed: UserId) -> Result<Effects, Refusal> {
    if actor.id == followed {
        return Err(Refusal::Forbidden);
    }
    let mut effects = unfollow(followed);
    effects.notices.push((
        Audience::User(followed),
        NoticeKind::Followed,
        notice(actor, None),
    ));
    Ok(effects)
}

/// Somebody no longer follows an account.
pub fn unfollow(followed: UserId) -> Effects {
    Effects {
        // A profile tells how many there are.
        tags: [Tag::user(followed)].into(),
        ..Effects::default()
    }
}
