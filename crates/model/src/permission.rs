//! Who may do what: role × relation × state × action, in one place.
//!
//! Whether the state of a thing allows an action at all is not decided here but in [`crate::lifecycle`].

use crate::room::Room;
use crate::{PitchStatus, Role, Visibility};

/// The answer to "may they?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Allowed,
    /// Perhaps, once one knows who asks.
    SignIn,
    /// No.
    Forbidden,
    /// No, and they may not learn that it exists.
    Hidden,
}

/// What somebody is to a pitch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PitchRelation {
    /// Nothing.
    Stranger,
    /// The holder of an approved, unexpired NDA.
    NdaHolder,
    /// Its creator.
    Owner,
}

impl PitchRelation {
    /// Every relation.
    pub const ALL: &[Self] = &[Self::Stranger, Self::NdaHolder, Self::Owner];
}

/// What somebody wants with a pitch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PitchRight {
    /// Read the public part.
    Read,
    /// Read the protected part.
    ReadFull,
    /// Change what it says.
    Edit,
    /// Put it on the site.
    Publish,
    /// Take it off the site.
    Archive,
    /// Make it a draft again.
    Withdraw,
    /// Remove it for good.
    Delete,
    /// Keep it in one's list.
    Save,
    /// Ask for an NDA.
    RequestNda,
    /// Express interest.
    ExpressInterest,
}

impl PitchRight {
    /// Every right.
    pub const ALL: &[Self] = &[
        Self::Read,
        Self::ReadFull,
        Self::Edit,
        Self::Publish,
        Self::Archive,
        Self::Withdraw,
        Self::Delete,
        Self::Save,
        Self::RequestNda,
        Self::ExpressInterest,
    ];
}

/// May a role, `None` when not signed in, do this with a pitch?
pub const fn pitch(
    role: Option<Role>,
    relation: PitchRelation,
    status: PitchStatus,
    visibility: Visibility,
    right: PitchRight,
) -> Verdict {
    use PitchRight::{
        Archive, Delete, Edit, ExpressInterest, Publish, Read, ReadFull, RequestNda, Save, Withdraw,
    };
    let owner = matches!(relation, PitchRelation::Owner);
    let admin = matches!(role, Some(Role::Admin));
    let on_site =
        matches!(status, PitchStatus::Published) && !matches!(visibility, Visibility::Private);
    if !(on_site || owner || admin) {
        return Verdict::Hidden;
    }
    let allowed = match right {
        // What anyone may read needs no account.
        Read => return Verdict::Allowed,
        ReadFull if matches!(visibility, Visibility::Public) => return Verdict::Allowed,
        ReadFull => owner || admin || matches!(relation, PitchRelation::NdaHolder),
        Edit | Withdraw => owner,
        // Who is no longer a creator can take down and remove, but not publish.
        Publish => owner && matches!(role, Some(Role::Creator)),
        Archive | Delete => owner || admin,
        Save => role.is_some(),
        RequestNda | ExpressInterest => !owner && is_buyer(role),
    };
    verdict(role, allowed)
}

/// May a role begin a pitch?
pub const fn create_pitch(role: Option<Role>) -> Verdict {
    verdict(role, matches!(role, Some(Role::Creator)))
}

/// What somebody is to an NDA or an interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DealRelation {
    /// Nothing.
    Stranger,
    /// Who asked.
    Asker,
    /// The creator of the pitch, who decides.
    Creator,
}

impl DealRelation {
    /// Every relation.
    pub const ALL: &[Self] = &[Self::Stranger, Self::Asker, Self::Creator];
}

/// What somebody wants with an NDA or an interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DealRight {
    /// Read it.
    Read,
    /// Take back what one asked for.
    Withdraw,
    /// Say yes or no to what was asked.
    Decide,
    /// Take back what one granted.
    Revoke,
}

impl DealRight {
    /// Every right.
    pub const ALL: &[Self] = &[Self::Read, Self::Withdraw, Self::Decide, Self::Revoke];
}

/// May a role do this with an NDA or an interest?
pub const fn deal(role: Option<Role>, relation: DealRelation, right: DealRight) -> Verdict {
    let admin = matches!(role, Some(Role::Admin));
    if role.is_none() {
        return Verdict::SignIn;
    }
    if matches!(relation, DealRelation::Stranger) && !admin {
        return Verdict::Hidden;
    }
    let allowed = match right {
        DealRight::Read => true,
        DealRight::Withdraw => matches!(relation, DealRelation::Asker),
        DealRight::Decide => matches!(relation, DealRelation::Creator),
        DealRight::Revoke => admin || matches!(relation, DealRelation::Creator),
    };
    verdict(role, allowed)
}

/// What belongs to a role rather than to a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// One's own account, notifications, lists.
    Own,
    /// The figures of a creator.
    CreatorDashboard,
    /// The figures of an investor or a production company.
    InvestorDashboard,
    /// What runs the site.
    Operations,
}

impl Area {
    /// Every area.
    pub const ALL: &[Self] = &[
        Self::Own,
        Self::CreatorDashboard,
        Self::InvestorDashboard,
        Self::Operations,
    ];
}

/// May a role enter an area?
pub const fn area(role: Option<Role>, area: Area) -> Verdict {
    let allowed = match area {
        Area::Own => true,
        Area::CreatorDashboard => matches!(role, Some(Role::Creator)),
        Area::InvestorDashboard => is_buyer(role),
        Area::Operations => matches!(role, Some(Role::Admin)),
    };
    verdict(role, allowed)
}

/// What somebody wants in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomRight {
    /// Be told what happens, and how many are there.
    Enter,
    /// Tell the others.
    Publish,
    /// Learn who is there.
    SeeMembers,
}

impl RoomRight {
    /// Every right.
    pub const ALL: &[Self] = &[Self::Enter, Self::Publish, Self::SeeMembers];
}

/// May a role do this in a room? `inside` is whether the room is about something that is theirs to read:
/// the account itself, an NDA of theirs, a pitch that they may see.
pub const fn room(role: Option<Role>, room: Room, inside: bool, right: RoomRight) -> Verdict {
    let allowed = match (room, right) {
        // What anyone may read needs no account.
        (Room::Lists, RoomRight::Enter) => return Verdict::Allowed,
        (Room::Pitch(_), RoomRight::Enter) if inside => return Verdict::Allowed,
        (Room::Pitch(_) | Room::Nda(_), _) if !inside => return Verdict::Hidden,
        (Room::User(_), RoomRight::Enter) => inside,
        // The two sides see each other, and may tell each other.
        (Room::Nda(_), _) => true,
        (Room::Ops, RoomRight::Enter | RoomRight::SeeMembers) => matches!(role, Some(Role::Admin)),
        // Nobody is told who looks at what, and what happens is told by the site alone.
        (Room::Lists | Room::Pitch(_) | Room::User(_) | Room::Ops, _) => false,
    };
    verdict(role, allowed)
}

const fn is_buyer(role: Option<Role>) -> bool {
    matches!(role, Some(Role::Investor | Role::Production))
}

const fn verdict(role: Option<Role>, allowed: bool) -> Verdict {
    match (role, allowed) {
        (Some(_), true) => Verdict::Allowed,
        (Some(_), false) => Verdict::Forbidden,
        (None, _) => Verdict::SignIn,
    }
}

#[cfg(test)]
mod tests;
