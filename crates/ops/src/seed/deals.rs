//! NDAs, expressions of interest, and the notifications about them.

use super::people::{Name, follows, name};
use super::pitches::{Pitch, budget, pitch, title};
use super::random::{Purpose, Random};
use super::world::{DAY_US, World, id};
use pitchey_model::{InterestStatus, NdaStatus, NoticeKind, Visibility};
use pitchey_store_pg::bulk::CopyRows;
use pitchey_store_pg::bulk::rows::{CopyRow as _, InterestRow, NdaRow, NotificationRow};
use serde::Serialize;
use std::collections::HashSet;
use std::ops::Range;
use uuid::Uuid;

/// NDAs that a pitch which needs one has on average, and interests that a pitch on the site has.
const NDAS: f64 = 0.9;
const INTERESTS: f64 = 0.25;
/// An approved NDA holds for a year.
const NDA_LIFE_US: i64 = 365 * DAY_US;
/// Older notifications were removed.
const NOTICES_US: i64 = 365 * DAY_US;

const MESSAGES: &[&str] = &[
    "",
    "",
    "We are looking for our next project and would like to read more.",
    "A colleague told me about this one. May I see the full synopsis?",
    "This would fit our slate well.",
];

struct Nda {
    id: Uuid,
    requester: u64,
    status: NdaStatus,
    message: &'static str,
    created_at: i64,
    decided_at: Option<i64>,
    expires_at: Option<i64>,
}

struct Interest {
    id: Uuid,
    investor: u64,
    status: InterestStatus,
    amount_minor: i64,
    currency: &'static str,
    message: &'static str,
    created_at: i64,
    decided_at: Option<i64>,
}

/// What people want of a pitch. One person has one NDA and one interest, which keeps to the rule of one live one.
fn deals(world: &World, pitch: &Pitch) -> (Vec<Nda>, Vec<Interest>) {
    let Some((from, to)) = pitch.public_life(world) else {
        return (Vec::new(), Vec::new());
    };
    let mut random = world.random(Purpose::Deals, pitch.index);
    // A popular pitch has more of everything.
    let rank = world.popularity_rank(pitch.index) as f64 + 1.0;
    let weight = (0.35 * (world.pitches as f64 / rank).powf(0.6)).min(60.0);
    let mut seen = HashSet::new();
    let ndas = if pitch.visibility == Visibility::Nda {
        (0..random.times(NDAS * weight))
            .filter_map(|_| {
                let at = random.between(from, to);
                let requester = world.buyer_at(at, &mut random);
                let nda = nda(world, requester, at, &mut random);
                seen.insert(requester).then_some(nda)
            })
            .collect()
    } else {
        Vec::new()
    };
    seen.clear();
    let interests = (0..random.times(INTERESTS * weight))
        .filter_map(|_| {
            let at = random.between(from, to);
            let investor = world.investor_at(at, &mut random);
            let interest = interest(world, investor, at, &mut random);
            seen.insert(investor).then_some(interest)
        })
        .collect();
    (ndas, interests)
}

fn nda(world: &World, requester: u64, created_at: i64, random: &mut Random) -> Nda {
    let decided_at = created_at + 1 + random.wait(3.0 * DAY_US as f64);
    let fate = random.below(100);
    let status = match fate {
        _ if decided_at >= world.until_us => NdaStatus::Requested,
        0..20 => NdaStatus::Requested,
        20..75 => NdaStatus::Approved,
        75..90 => NdaStatus::Rejected,
        _ => NdaStatus::Revoked,
    };
    Nda {
        id: id(created_at, random),
        requester,
        status,
        message: random.pick(MESSAGES),
        created_at,
        decided_at: (status != NdaStatus::Requested).then_some(decided_at),
        expires_at: matches!(status, NdaStatus::Approved | NdaStatus::Revoked)
            .then_some(decided_at + NDA_LIFE_US),
    }
}

fn interest(world: &World, investor: u64, created_at: i64, random: &mut Random) -> Interest {
    let decided_at = created_at + 1 + random.wait(6.0 * DAY_US as f64);
    let fate = random.below(100);
    let status = match fate {
        _ if decided_at >= world.until_us => InterestStatus::Expressed,
        0..45 => InterestStatus::Expressed,
        45..60 => InterestStatus::Withdrawn,
        60..80 => InterestStatus::Accepted,
        _ => InterestStatus::Declined,
    };
    let (amount_minor, currency) = budget(random);
    Interest {
        id: id(created_at, random),
        investor,
        status,
        amount_minor,
        currency,
        message: random.pick(MESSAGES),
        created_at,
        decided_at: (status != InterestStatus::Expressed).then_some(decided_at),
    }
}

/// Adds the NDAs of the pitches in `range`.
pub(super) fn write_ndas(world: &World, range: Range<u64>, rows: &mut CopyRows) {
    for index in range {
        let pitch = pitch(world, index);
        for nda in deals(world, &pitch).0 {
            NdaRow {
                id: nda.id,
                pitch_id: pitch.id,
                requester_id: world.user_id(nda.requester),
                creator_id: world.user_id(pitch.creator),
                status: nda.status,
                message: nda.message,
                decision: match nda.status {
                    NdaStatus::Rejected => "Not at this stage, sorry.",
                    NdaStatus::Revoked => "The rights have been sold.",
                    NdaStatus::Requested | NdaStatus::Approved => "",
                },
                created_at: nda.created_at,
                updated_at: nda.decided_at.unwrap_or(nda.created_at),
                decided_at: nda.decided_at,
                expires_at: nda.expires_at,
                version: match nda.status {
                    NdaStatus::Requested => 1,
                    NdaStatus::Approved | NdaStatus::Rejected => 2,
                    NdaStatus::Revoked => 3,
                },
            }
            .write(rows);
        }
    }
}

/// Adds the expressions of interest in the pitches in `range`.
pub(super) fn write_interests(world: &World, range: Range<u64>, rows: &mut CopyRows) {
    for index in range {
        let pitch = pitch(world, index);
        for interest in deals(world, &pitch).1 {
            InterestRow {
                id: interest.id,
                pitch_id: pitch.id,
                investor_id: world.user_id(interest.investor),
                creator_id: world.user_id(pitch.creator),
                status: interest.status,
                amount_minor: interest.amount_minor,
                currency: interest.currency,
                message: interest.message,
                created_at: interest.created_at,
                updated_at: interest.decided_at.unwrap_or(interest.created_at),
                decided_at: interest.decided_at,
                version: 1 + i64::from(interest.decided_at.is_some()),
            }
            .write(rows);
        }
    }
}

/// What a notification tells: the JSON of a `pitchey_model::event::Notice`, which a test reads back.
#[derive(Clone, Copy, Default, Serialize)]
struct About<'a> {
    username: &'a str,
    display_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pitch_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pitch_title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nda_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interest_id: Option<Uuid>,
}

/// Adds notifications one after the other.
struct Notices<'a> {
    world: &'a World,
    random: Random,
    rows: &'a mut CopyRows,
}

impl Notices<'_> {
    /// Somebody is told that another did something.
    fn add(&mut self, user: u64, kind: NoticeKind, by: u64, about: &About<'_>, at_us: i64) {
        if at_us < self.world.until_us - NOTICES_US || at_us >= self.world.until_us {
            return;
        }
        let Name {
            display_name,
            username,
        } = name(self.world, by);
        let payload = serde_json::json!(About {
            username: &username,
            display_name: &display_name,
            ..*about
        });
        let read_at = at_us + 1 + self.random.wait(5.0 * DAY_US as f64);
        NotificationRow {
            id: id(at_us, &mut self.random),
            user_id: self.world.user_id(user),
            kind: kind.as_str(),
            payload: &payload.to_string(),
            created_at: at_us,
            read_at: (read_at < self.world.until_us && self.random.chance(0.8)).then_some(read_at),
        }
        .write(self.rows);
    }
}

/// Adds the notifications about the pitches in `range`.
pub(super) fn write_pitch_notices(world: &World, range: Range<u64>, rows: &mut CopyRows) {
    for index in range {
        let pitch = pitch(world, index);
        let (ndas, interests) = deals(world, &pitch);
        let mut notices = Notices {
            world,
            random: world.random(Purpose::Notices, index),
            rows,
        };
        let title = title(world, index);
        let about = About {
            pitch_id: Some(pitch.id),
            pitch_title: Some(&title),
            ..About::default()
        };
        for nda in ndas {
            let about = About {
                nda_id: Some(nda.id),
                ..about
            };
            let (creator, requester) = (pitch.creator, nda.requester);
            let asked = NoticeKind::NdaRequested;
            notices.add(creator, asked, requester, &about, nda.created_at);
            let decided = match nda.status {
                NdaStatus::Requested => continue,
                NdaStatus::Approved => NoticeKind::NdaApproved,
                NdaStatus::Rejected => NoticeKind::NdaRejected,
                NdaStatus::Revoked => NoticeKind::NdaRevoked,
            };
            let at = nda.decided_at.unwrap_or(nda.created_at);
            notices.add(requester, decided, creator, &about, at);
        }
        for interest in interests {
            let about = About {
                interest_id: Some(interest.id),
                ..about
            };
            let (creator, investor) = (pitch.creator, interest.investor);
            let expressed = NoticeKind::InterestExpressed;
            notices.add(creator, expressed, investor, &about, interest.created_at);
            let (told, decided, by) = match interest.status {
                InterestStatus::Expressed => continue,
                InterestStatus::Withdrawn => (creator, NoticeKind::InterestWithdrawn, investor),
                InterestStatus::Accepted => (investor, NoticeKind::InterestAccepted, creator),
                InterestStatus::Declined => (investor, NoticeKind::InterestDeclined, creator),
            };
            let at = interest.decided_at.unwrap_or(interest.created_at);
            notices.add(told, decided, by, &about, at);
        }
        // One of those who may follow the creator stands for all of them.
        if let Some(published_at) = pitch.published_at.filter(|_| pitch.is_listed()) {
            let mut random = notices.random.clone();
            if random.chance(0.1) {
                let reader = world.buyer_at(published_at, &mut random);
                let published = NoticeKind::PitchPublished;
                notices.add(reader, published, pitch.creator, &about, published_at);
            }
        }
    }
}

/// Adds the notifications about whom the accounts in `range` follow.
pub(super) fn write_follow_notices(world: &World, range: Range<u64>, rows: &mut CopyRows) {
    for user in range {
        let mut notices = Notices {
            world,
            random: world.random(Purpose::Notices, world.pitches + user),
            rows,
        };
        for (followed, at) in follows(world, user) {
            notices.add(followed, NoticeKind::Followed, user, &About::default(), at);
        }
    }
}
